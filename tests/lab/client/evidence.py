"""The host's side of the evidence: puts the programs into the client, starts them, looks at them, fetches, proves.

    evidence = Evidence(lab.kokone, rundir, server="192.0.2.220", say=print)
    evidence.install()                                   # and evidence.install_on(lab.pete), …(lab.mclaws): the probes
    evidence.uses_nfs("/mnt/v3", "3"); evidence.uses_nfs("/mnt/v4", "4.1")
    evidence.start_writer("v3", "/mnt/v3"); evidence.start_writer("v4", "/mnt/v4")
    evidence.start_reader("r3", "/mnt/v3", of="v3"); evidence.start_walker("find", "/mnt/v4/copied")
    evidence.wait_going_on()
    with evidence.scene("power pulled", taker=lab.mclaws, export="/mnt/e0.0") as scene:
        scene.mark("the power cable of pete is pulled"); lab.pull_cord("pete")
        …                                                # until the other node serves
    scene.tell(step)                                     # pauses, reclaims, picture, counts go into the step; StepFailed if nothing was tested
    evidence.locks_held(lab.mclaws, "/mnt/e0.0")         # EvidenceError unless every writer's lock is held there
    evidence.stop()
    audit = evidence.audit_on(lab.mclaws, "/mnt/e0.0")   # or audit_device(lab.pete, "/dev/etherd/e0.0") after everything is unmounted
    audit.tell(step)
"""

from __future__ import annotations
