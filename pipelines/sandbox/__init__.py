"""Vendors' APIs on loopback, for rehearsal and tests: strict in what it takes, honest in what it gives.

One file per vendor (`build(settings, books) -> APIRouter` and `refusal(status, message)`), mounted under
its name, so a vendor's base URL is `http://127.0.0.1:PORT/VENDOR`. Voices live in memory and are gone when
the sandbox ends.
"""
