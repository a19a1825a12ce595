"""`kerasdl calibrate`: a run whose model is as sure as it should be."""

from kerasdl.cli.terminal import AsJson, RunFolder, Workdir, print_field, print_json, print_scores, quiet


def calibrate_run(run: RunFolder, workdir: Workdir = None, as_json: AsJson = False) -> None:
    """Make a run whose model divides its logits by a temperature that validation chooses: surer, or less sure."""
    from kerasdl.audit import finished
    from kerasdl.run import Run
    from kerasdl.text import typed

    opened = Run.open(run)
    finished.check(opened)
    with quiet():
        from kerasdl.audit.calibrate import calibrate
        made = calibrate(opened, workdir)
    result = made.result
    if as_json:
        print_json({"run": made.path, "result": result})
        return
    facts = result["calibrated"]
    print_field("heat", f"temperature {facts['temperature']:.4f}, fitted on {facts['examples']:,} validation examples: "
                        f"NLL {facts['nll']['before']:.4f} -> {facts['nll']['after']:.4f}")
    for split in ("val", "test"):
        print_scores(split, result[split])
    print_field("run", made.path)
    print_field("next", f"kerasdl audit {typed(made.path)}")
