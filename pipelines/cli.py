"""The command line: parse, call, print; no logic. Exit codes as in `voxprep --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prep.errors import ConfigError, PrepError

if TYPE_CHECKING:
    from pipelines.voices import Where

app = typer.Typer(
    name="voxprep",
    help="Raw recordings in, vendor-ready voice-cloning samples out.\n\n"
    "Exit codes: 0 what was asked is there; 1 it ran, but a set is unmet or a source failed; "
    "2 bad usage or configuration, found before any work; 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
voices_app = typer.Typer(help="Voices at a vendor: list, show, say, delete.", no_args_is_help=True)
consent_app = typer.Typer(help="Consent records: who said yes, to what.", no_args_is_help=True)
models_app = typer.Typer(help="Model weights: list, pull.", no_args_is_help=True)
cache_app = typer.Typer(help="What is kept on disk: size, clear.", no_args_is_help=True)
app.add_typer(voices_app, name="voices")
app.add_typer(consent_app, name="consent")
app.add_typer(models_app, name="models")
app.add_typer(cache_app, name="cache")

INTERRUPTED = 130
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout; all else on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More detail.")]
Events = Annotated[Path | None, typer.Option("--events", help="Append progress to FILE as NDJSON.")]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="A TOML with some of the settings.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="KEY=VALUE, for example snr_db.min=20.")]
BaseUrl = Annotated[str | None, typer.Option("--base-url", help="The vendor's address; default from the environment.")]
Options = Annotated[list[str] | None, typer.Option("--option", help="KEY=VALUE, a vendor's own field.")]
Hosting = Annotated[
    str | None,
    typer.Option("--hosting", help="s3://BUCKET/PREFIX, dir:PATH=URL, ai302 or url:https://..., for URL-only vendors."),
]
VendorName = Annotated[str, typer.Option("--provider", "--to", "--for", "--vendor", help="Vendor name.")]


@app.command(epilog="Example: voxprep prepare talk.mp4 --for qhaigc --out out/")
def prepare(
    sources: Annotated[list[str], typer.Argument(metavar="SRC...", help="Files, folders, FILE@12:31-14:00.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for everything that is made.")],
    vendors: Annotated[list[str] | None, typer.Option("--for", "--vendor", help="Vendor; may be repeated.")] = None,
    clips: Annotated[int | None, typer.Option("--clips", help="Files per set.", min=1)] = None,
    text: Annotated[bool, typer.Option("--text", help="Transcribe every usable clip.")] = False,
    speaker: Annotated[
        str, typer.Option("--speaker", help="Whose voice: FILE, FILE@12:31-12:41, or a voice (A) of the run in --out.")
    ] = "",
    channels: Annotated[str | None, typer.Option("--channels", help="auto, mix, split or a channel number.")] = None,
    stream: Annotated[int | None, typer.Option("--stream", help="Which audio track, from 0.", min=0)] = None,
    config: ConfigFile = None,
    settings: Settings = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    events: Events = None,
) -> None:
    """Make the best sample set for each vendor, and a manifest that accounts for every second."""
    from pipelines import show
    from pipelines.config import load
    from pipelines.console import Console, print_json
    from pipelines.prepare import PrepareJob
    from pipelines.prepare import prepare as run
    from pipelines.report.page import write_report
    from prep.models.registry import cache_root
    from prep.store import Store

    extra = [f"ingest.channels={channels!r}"] if channels else []
    extra += [f"ingest.stream={stream}"] if stream is not None else []
    merged = load(config, [*(settings or []), *extra])
    job = PrepareJob(sources, list(dict.fromkeys(vendors or [])), out, clips, text, speaker)
    with Console(quiet, events) as console:
        result = run(job, merged, cache_root(), console.say, console.fetching)
        report = write_report(result, merged, Store(cache_root() / "store"))
        console.event("done", complete=result.complete)
    if as_json:
        print_json(show.prepare_document(result, report))
    else:
        show.prepare_text(result, report, verbose)
    raise typer.Exit(0 if result.complete else 1)


@app.command(
    epilog="Example: voxprep upload out/ --to qhaigc --name Ann --consent ann.toml --option contact_email=a@b.org"
)
def upload(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder made by prepare.")],
    vendors: Annotated[list[str], typer.Option("--to", "--vendor", help="Vendor; may be repeated.")],
    name: Annotated[str, typer.Option("--name", help="Name of the voice.")],
    consent: Annotated[Path | None, typer.Option("--consent", help="Consent TOML; see `consent new`.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the very bytes and show the plan; send nothing.")
    ] = False,
    hosting: Hosting = None,
    options: Options = None,
    base_url: BaseUrl = None,
    as_json: Json = False,
    quiet: Quiet = False,
    events: Events = None,
) -> None:
    """Check the set rule by rule, host it where the vendor only takes URLs, then enrol the voice, once."""
    from pipelines import show
    from pipelines.ask import read_options
    from pipelines.console import Console, print_json
    from pipelines.upload import UploadJob, UploadResult
    from pipelines.upload import upload as run

    ends: list[tuple[str, UploadResult | PrepError]] = []
    given = read_options(options or [])
    with Console(quiet, events) as console:
        for vendor in dict.fromkeys(vendors):
            job = UploadJob(directory, vendor, name, consent, given, base_url, dry_run, hosting or "")
            console.say(f"{vendor}: checking {job.instead or job.set_folder / 'set.json'}")
            try:
                ends.append((vendor, run(job, observe=console.passed)))
            except PrepError as error:  # the other vendors still get their turn
                ends.append((vendor, error))
    if as_json:
        print_json([show.upload_document(vendor, end) for vendor, end in ends])
    for vendor, end in ends:
        if isinstance(end, PrepError):
            _fail(end, 1)
        elif not as_json:
            show.upload_text(vendor, end)
    raise typer.Exit(max(show.upload_code(end) for _, end in ends))


@voices_app.command("list")
def voices_list(
    provider: VendorName,
    presets: Annotated[bool, typer.Option("--presets", help="The vendor's own voices instead.")] = False,
    options: Options = None,
    base_url: BaseUrl = None,
    as_json: Json = False,
) -> None:
    """Every voice the account sees."""
    from pipelines import show
    from pipelines.voices import list_voices

    show.voices(list_voices(_where(provider, base_url, options), presets), as_json)


@voices_app.command("show")
def voices_show(
    voice: str, provider: VendorName, options: Options = None, base_url: BaseUrl = None, as_json: Json = False
) -> None:
    """One voice."""
    from pipelines import show
    from pipelines.voices import show_voice

    show.voices([show_voice(_where(provider, base_url, options), voice)], as_json)


@voices_app.command("say", epilog='Example: voxprep voices say --provider qhaigc Ann "Good morning." --out hello.wav')
def voices_say(
    voice: Annotated[str, typer.Argument(help="A voice; for ai302 a run folder (several: A,B), a task, or `smart`.")],
    text: str,
    provider: VendorName,
    out: Annotated[Path, typer.Option("--out", help="Audio file to write.")],
    hosting: Hosting = None,
    options: Options = None,
    base_url: BaseUrl = None,
) -> None:
    """Speak a text with a voice."""
    from pipelines.ask import read_options
    from pipelines.voices import Saying, say

    given = read_options(options or [])
    where = _where(provider, base_url, options)
    given.pop("region", None)
    typer.echo(f"wrote {say(where, Saying(voice, text, out, given, hosting or 'ai302'))}")


@voices_app.command("verify", epilog="Example: voxprep voices verify --provider qwen VOICE out/")
def voices_verify(
    voice: str,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The run whose set the voice was made of.")],
    provider: VendorName,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for what it says; default DIR/verify.")] = None,
    texts: Annotated[list[str] | None, typer.Option("--text", help="A sentence to say; may be repeated.")] = None,
    options: Options = None,
    base_url: BaseUrl = None,
    as_json: Json = False,
) -> None:
    """Let the vendor's voice speak, and measure whether it is the voice of the set and says the words."""
    from pipelines import show
    from pipelines.build import Session
    from pipelines.config import load
    from pipelines.likeness import Verifying, verify_voice
    from prep.models.registry import cache_root

    wish = Verifying(voice, directory, out or directory / "verify", tuple(texts or ()))
    with Session(load(), cache_root()) as session:
        found = verify_voice(_where(provider, base_url, options), wish, session)
    show.likeness(found, as_json)


@voices_app.command("delete")
def voices_delete(voice: str, provider: VendorName, options: Options = None, base_url: BaseUrl = None) -> None:
    """Remove a voice at the vendor, where the vendor can."""
    from pipelines.voices import delete_voice

    removed = delete_voice(_where(provider, base_url, options), voice)
    typer.echo(f"{provider}: voice {voice} " + ("is deleted" if removed else "is not there; nothing to delete"))


def _where(provider: str, base_url: str | None, options: list[str] | None) -> Where:
    """The vendor that is spoken to, in the region among the options."""
    from pipelines.ask import read_options
    from pipelines.voices import Where

    return Where(provider, base_url, read_options(options or []).get("region", ""))


@consent_app.command("new", epilog="Example: voxprep consent new --self --out consent.toml")
def consent_new(
    out: Annotated[Path, typer.Option("--out", help="File to write.")] = Path("consent.toml"),
    own: Annotated[bool, typer.Option("--self", help="The voice is your own.")] = False,
    speaker: Annotated[str | None, typer.Option(help="Whose voice.")] = None,
    statement: Annotated[str | None, typer.Option(help="What they agreed to, in their words.")] = None,
    given_by: Annotated[str | None, typer.Option(help="Who agreed.")] = None,
    date: Annotated[str | None, typer.Option(help="When, YYYY-MM-DD.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What for.")] = None,
    vendors: Annotated[list[str] | None, typer.Option("--vendor", help="Only these vendors; may be repeated.")] = None,
    expires: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
) -> None:
    """Ask the five questions that are not answered by a flag, and write the consent file."""
    from pipelines.ask import consent_answers
    from prep.providers import consent

    if out.exists():
        raise ConfigError(f"{out} exists; choose another --out, or delete it first")
    given = {"speaker": speaker, "statement": statement, "given_by": given_by, "date": date, "purpose": purpose}
    answers: dict[str, Any] = consent_answers(given, own)
    answers |= {"vendors": vendors} if vendors else {}
    answers |= {"expires": expires} if expires else {}
    record = consent.new(answers)
    consent.write(record, out)
    typer.echo(f"wrote {out} (consent {record.consent_id[:12]})")


@app.command(epilog="Example: voxprep limits qhaigc")
def limits(
    vendor: Annotated[str | None, typer.Argument(help="Vendor; all when left out.")] = None, as_json: Json = False
) -> None:
    """Each vendor's limits, hard or advised, with source and date."""
    from pipelines import show
    from pipelines.config import load_vendor, vendor_names

    show.limits([load_vendor(name) for name in ([vendor] if vendor else vendor_names())], as_json)


@models_app.command("list")
def models_list(as_json: Json = False) -> None:
    """Weights: role, size, licence, digest, whether they are here."""
    from pipelines import show

    show.models(as_json)


@models_app.command("pull")
def models_pull(
    names: Annotated[list[str] | None, typer.Argument(help="Weights; those prepare needs when left out.")] = None,
) -> None:
    """Fetch weights now rather than at first use."""
    from pipelines.build import WEIGHTS
    from pipelines.console import Console
    from prep.models.registry import cache_root, ensure

    with Console() as console:
        for name in names or WEIGHTS:
            console.say(f"{name}: {ensure(name, cache=cache_root(), progress=console.fetching)}")


@cache_app.command("size")
def cache_size(as_json: Json = False) -> None:
    """Bytes kept: results and working copies, and weights."""
    from pipelines import show

    show.cache(as_json)


@cache_app.command("clear")
def cache_clear(weights: Annotated[bool, typer.Option("--weights", help="Weights too.")] = False) -> None:
    """Delete results and working copies; a later run makes them anew."""
    import shutil

    from prep.models.registry import cache_root

    for name in ["store", *(["models"] if weights else [])]:
        shutil.rmtree(cache_root() / name, ignore_errors=True)
        typer.echo(f"cleared {cache_root() / name}")


@app.command(epilog="Example: voxprep sandbox --port 8765")
def sandbox(port: Annotated[int, typer.Option(help="Loopback port.")] = 8765) -> None:
    """A stand-in for the vendors' APIs on loopback, as strict as they are: rehearse uploads without a key."""
    from pipelines.sandbox.app import serve

    serve(port)


@app.command(epilog="Example: voxprep doctor --for qhaigc")
def doctor(
    vendor: Annotated[str | None, typer.Option("--for", "--vendor", help="Check this vendor's account too.")] = None,
    hosting: Hosting = None,
    options: Options = None,
    base_url: BaseUrl = None,
    as_json: Json = False,
) -> None:
    """What this machine and this account have and lack, before hours of work."""
    from pipelines import show
    from pipelines.doctor import examine

    where = _where(vendor, base_url, options) if vendor else None
    findings = examine(where, hosting or "")
    show.findings(findings, as_json)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code, prints expected errors as one sentence."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except ConfigError as error:
        return _fail(error, 2)
    except PrepError as error:
        return _fail(error, 1)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except BrokenPipeError:
        return 1
    except typer.TyperException as error:
        message = error.format_message()
        lone = f"voxprep: {message}\n(voxprep --help shows how it is used)\n"
        sys.stderr.write(f"{message}\n" if message.startswith("Usage") else lone)
        return error.exit_code
    if code == INTERRUPTED:  # newer typers turn Ctrl-C into this code themselves
        sys.stderr.write("voxprep: interrupted; what was finished is kept, run the same command to go on\n")
    return code if isinstance(code, int) else 0


def _fail(error: PrepError, code: int) -> int:
    sys.stderr.write(f"voxprep: {error}\n")
    return code


def main() -> None:
    """Entry point of the `voxprep` command."""
    sys.exit(run())


if __name__ == "__main__":
    main()
