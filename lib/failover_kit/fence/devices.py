"""The way to a device: which session and transport a request needs. Imports only what is used."""

from __future__ import annotations

from failover_kit.fence.config import Config, Way, line_ms
from failover_kit.fence.log import Log
from failover_kit.fence.secret import Secret
from failover_kit.fence.session import GOODBYE_MS, Connector, DeviceSession, Session
from failover_kit.fence.wti import Dialogue
from failover_kit.spec.deadline import Deadline


def goodbye_ms(config: Config) -> int:
    """The time for logging out, which is taken from the operation's total at the start."""
    return min(GOODBYE_MS, config.timeout_ms // 4)


def make_session(config: Config, password: Secret, deadline: Deadline, log: Log) -> DeviceSession:
    """A session that is not yet open. ``deadline`` is the operation's, without the time for the goodbye."""
    # A refused connection may be a session that somebody has for a moment, or for minutes, or a dead device.
    # Waiting for it to the deadline keeps the cluster from its next device, and Pacemaker kills the second try.
    connect_ms = config.login_timeout_ms // 2
    if config.way is Way.REST:
        from failover_kit.fence.rest import RestSession, RestTarget

        return RestSession(
            RestTarget(config.ip, config.ipport, config.family, config.ca_file, config.ssl_insecure),
            config.username,
            password,
            deadline,
            connect_ms=connect_ms,
            login_ms=config.login_timeout_ms,
            debug=log.debug,
        )
    over_tcp = config.way is Way.TELNET
    # ssh has taken the password already; it is not offered to a second door.
    in_dialogue = None if config.way is Way.SSH else password
    return Session(
        _connector(config, password, log),
        lambda: Dialogue(
            username=config.username,
            password=in_dialogue,
            prompts=config.prompts,
            telnet=over_tcp,
            wake=config.way is Way.SERIAL,
        ),
        deadline,
        connect_ms=connect_ms,
        login_ms=config.login_timeout_ms,
        goodbye_ms=goodbye_ms(config),
        line_ms=line_ms(config.way, config.baud),
        hangs_up=config.way is not Way.SERIAL,
        debug=log.debug,
    )


def _connector(config: Config, password: Secret, log: Log) -> Connector:
    """What opens the transport."""
    if config.way is Way.SERIAL:
        from failover_kit.fence.serialline import connect_serial

        return lambda _until: connect_serial(config.serial, config.baud)
    if config.way is Way.SSH:
        from failover_kit.fence.sshchild import SshTarget, connect_ssh

        target = SshTarget(
            config.ip,
            config.ipport,
            config.username,
            config.family,
            config.identity_file,
            config.ssh_options,
            config.ssh_path,
        )
        return lambda until: connect_ssh(target, password, until, log.debug)
    from failover_kit.fence.tcp import connect_tcp

    return lambda until: connect_tcp(config.ip, config.ipport, config.family, until)
