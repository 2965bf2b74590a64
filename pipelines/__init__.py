"""voxprep composition: configuration, pipelines, reports and the command line."""
