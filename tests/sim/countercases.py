"""The counter-examples in words: for each rule taken away, what it says, what happened, and why not with it."""

from __future__ import annotations

from dataclasses import replace

from sim import counterrules as weak
from sim.counterrules import CUT_AND_TAKEN, MCLAWS, NO_TROUBLE, PETE, SLOW, Case, known, plant
from sim.smalllanes import SETTLE
from sim.smallparts import Budget, Setting

STANDBY = f"{MCLAWS}: failoverctl standby"

BOTH_HEARD_AT_FIRST_START = (
    f"{MCLAWS}: the last beat of {PETE} arrives",
    f"{MCLAWS}: the record is on its disk",
    f"{PETE}: the last beat of {MCLAWS} arrives",
    f"{PETE}: the record is on its disk",
    f"{MCLAWS}: the last beat of {PETE} arrives",
    f"{MCLAWS}: the record is on its disk",
    f"{PETE}: the last beat of {MCLAWS} arrives",
    f"{PETE}: the record is on its disk",
)

# Played through the core before the search for "current beat" begins: what has to have been lost and said for a
# life to be believed by an echo of the nonce alone.
OLD_LIFE_IS_BELIEVED = (
    f"{MCLAWS}: its next beat is due",
    f"{PETE}: the last beat of {MCLAWS} arrives",
    f"{MCLAWS}: its next beat is due",
    f"{PETE}: the last beat of {MCLAWS} arrives",
    f"{MCLAWS}: its next beat is due",
    f"{PETE}: failoverctl standby",
    f"{PETE}: its stop succeeds",
)
ONE_CLOCK = Setting(one_clock=True, slow_disks=False)

CASES = (
    Case(
        slug="current-beat",
        rule="current beat ✗",
        says="A nonce never heard before becomes current only by a beat that echoes a counter sent *after* first "
        "hearing that nonce.",
        without="An echo of the nonce alone makes a new life current.",
        consequence="mounted twice",
        story="pete granted the group to mclaws, and the network kept that beat. failoverd on pete then died and "
        "lost its records, so it knows nothing of the grant; mclaws gave the group back to the new life. Now the "
        "kept beat arrives, from a life that ended: it echoes the nonce of mclaws, so it is believed.",
        saved="A beat of a life must answer something sent since that life was first heard. No beat that was on "
        "its way before can do that, however late it comes, so an ended life never becomes current again.",
        given="The lettered steps are given because a search from a healthy pair is too long for a page: two "
        "lives of pete, a reboot of mclaws, a planned move and four lost beats have to come in one order (24 "
        "steps in the protocol's own model). They were chosen along that story and are played through the "
        "weakened core, as the rest is.",
        plant=replace(
            known("nonce-echo"),
            lane=replace(
                known("nonce-echo").lane,
                budget=Budget(waits=0, kept=1, crashes=1, lost_state=1),
                prelude=(*known("nonce-echo").lane.prelude, *OLD_LIFE_IS_BELIEVED),
            ),
        ),
    ),
    Case(
        slug="01",
        rule="1",
        says="A node starts a group only with the right to it.",
        without="The home node starts what it does not see on a silent peer, right or none.",
        consequence="mounted twice",
        story="The group was moved from its home node. A cut of the only link is enough: the home node hears "
        "nobody, takes its being home for permission, and mounts what the other node has mounted.",
        saved="Without a right there is nothing to start by, and silence gives none: it has to be obtained "
        "first, by one of the four ways of rule 2.",
        plant=plant("01", weak.starts_unasked, Budget(waits=1), prelude=(SETTLE, STANDBY, SETTLE)),
    ),
    Case(
        slug="02a",
        rule="2a",
        says="A grant is valid only with an epoch above every one issued or accepted here.",
        without="Any grant to this life is taken, however old its epoch.",
        consequence="mounted twice",
        story="A grant is repeated in every beat until it is seen answered, so copies of it are on the way when "
        "it has long been used. pete accepts it, serves, gives the group back with a later epoch; then one of "
        "the copies arrives and gives the group to pete once more.",
        saved="pete has issued epoch 3 itself; the copy says 2. Epochs only grow, so what was answered once is "
        "never an offer again, whenever it arrives.",
        plant=plant(
            "02a",
            weak.any_epoch,
            Budget(waits=0, moves=1, kept=1),
            prelude=(
                SETTLE,
                STANDBY,
                f"{MCLAWS}: its stop succeeds",
                f"{PETE}: the last beat of {MCLAWS} arrives",
                f"{PETE}: its start succeeds",
            ),
        ),
    ),
    Case(
        slug="02b",
        rule="2b",
        says="The proof of a fence serves one takeover and is void at the peer's next current beat.",
        without="What was proved once is taken for proved at the next silence, too.",
        consequence="mounted twice",
        story="mclaws was fenced, came back and was heard, and the group was moved home. At the next silence "
        "the OFF of long ago is used again: the node that was off then is running the group now.",
        saved="The first current beat of mclaws ended the proof. The new silence needs a new shot and a new OFF.",
        plant=plant(
            "02b", weak.proof_kept, Budget(waits=1, moves=1), prelude=(SETTLE, *CUT_AND_TAKEN, SETTLE)
        ),
    ),
    Case(
        slug="02c",
        rule="2c",
        says="confirm-dead is refused while any authentic beat, current or not, came within deadtime.",
        without="The operator's word is taken as it is.",
        consequence="mounted twice",
        story="failoverd on mclaws was restarted; its resources run on. pete heard its first beat, which cannot be "
        "current yet. The operator looks at a status that says silent, believes mclaws dead, and says so.",
        saved="A node without power sends no authentic beats. One came within deadtime, so the order is "
        "refused; that it was not current yet says only that it may be late, not that nobody is there.",
        plant=plant(
            "02c",
            weak.word_is_enough,
            Budget(waits=0, confirms=1),
            setting=Setting(can_fence=False, rash_operator=True, slow_disks=False),
            prelude=(
                SETTLE,
                f"{PETE}: hears nothing for deadtime",
                f"{MCLAWS}: failoverd dies",
                f"{MCLAWS}: failoverd starts",
                f"{PETE}: the last beat of {MCLAWS} arrives",
            ),
        ),
    ),
    Case(
        slug="02d",
        rule="2d",
        says="Where no right is visible, a node gives one to the other; it never takes one itself.",
        without="*Released* is taken as permission: the home node starts what its peer says it does not run, "
        "and the other node does when it is silent.",
        consequence="mounted twice",
        story="This is the obvious rule, and Heartbeat's. A passive node says *released* for ever, also while "
        "the claim of the other one is lost on the way: both have heard the other say that it runs nothing.",
        saved="Whoever sees no right may only give one away, in a beat that the other must answer. A node that "
        "is not heard can be given nothing, and nothing can be taken from it without a fence.",
        plant=known("released"),
    ),
    Case(
        slug="03",
        rule="3",
        says="A right dies with its boot.",
        without="The record of an earlier boot is taken for this one's.",
        consequence="both have a right, one mounted",
        story="mclaws was fenced while it ran the group. Its disk still has the right, for it had no time to "
        "give it up. It gets its power back, boots, and goes on where it was.",
        saved="Another boot_id: the right in the record is nobody's any more. mclaws waits to be given one.",
        plant=plant("03", weak.right_outlives_boot, NO_TROUBLE, prelude=(SETTLE, *CUT_AND_TAKEN)),
    ),
    Case(
        slug="04-stopped",
        rule="4",
        says="A grant needs every stop verified.",
        without="A planned move begins with the grant; the stop is ordered beside it.",
        consequence="mounted twice",
        story="The two halves of a move overlap by one beat. A beat takes a millisecond, an unmount takes seconds.",
        saved="The order to stop comes first, and nothing is granted before the stop was verified.",
        plant=plant("04-stopped", weak.grants_while_it_runs, Budget(waits=0, moves=1)),
    ),
    Case(
        slug="04-kept",
        rule="4 ✗",
        says="When a grant is handed to Persist, the right is gone; a failed Persist does not bring it back.",
        without="Until the grant is durable the node that gives still counts the right as its own, and uses it "
        "when the peer falls silent.",
        consequence="mounted twice",
        story="A grant is on its way to the disk; the peer falls silent and the right is taken back and used. Then "
        "failoverd dies, and the disk turns out to hold the grant after all: the next life sends it.",
        saved="A record that was handed to the disk may be found there, whatever the disk answered. So from that "
        "moment the right is gone for the giver, and the group waits for the peer or for a fence.",
        plant=replace(
            known("right-kept"),
            lane=replace(
                known("right-kept").lane,
                budget=Budget(waits=0, crashes=1),
                prelude=(
                    *known("right-kept").lane.prelude,
                    f"{MCLAWS}: its stop succeeds",
                    f"{MCLAWS}: hears nothing for deadtime",
                ),
                without=(f"{PETE}: failoverd dies",),
            ),
        ),
    ),
    Case(
        slug="04-epoch",
        rule="4 ✗",
        says="An epoch counts as issued from the moment its grant is handed to Persist.",
        without="It counts only when it is durable: towards the peer and against the peer's own grants.",
        consequence="both have a right",
        story="Both nodes may give at once, and the epochs decide. That works only if each of them counts its "
        "own grant from the moment it may be found on the disk.",
        saved="The node that has issued an epoch refuses a lower one, pending or not; one of the two grants is "
        "always refused.",
        plant=replace(
            known("late-epoch"), lane=replace(known("late-epoch").lane, prelude=BOTH_HEARD_AT_FIRST_START)
        ),
    ),
    Case(
        slug="05",
        rule="5",
        says="A silent peer is fenced, whatever it said last.",
        without="A peer whose last beat claimed nothing needs no fence.",
        consequence="mounted twice",
        story="What was heard last is old by definition. Since then pete was given the group, by this very "
        "node, and the beat that says so is one of those that were lost.",
        saved="A silent node may have done anything since its last beat. mclaws shoots and reads OFF before it "
        "takes anything.",
        plant=plant("05", weak.none_needs_no_fence, Budget(waits=1, moves=1)),
    ),
    Case(
        slug="06",
        rule="6",
        says="Stopped means gone; a lazy unmount is never a success.",
        without="The stop reports success while the filesystem is still alive (`umount -l`: the name is gone, the "
        "mount is not).",
        consequence="mounted twice",
        story="Everything the manager does is right. It believes an agent that calls *stopped* what will be "
        "stopped some day.",
        saved="The stop succeeds only when an exclusive open of the device does, so the grant comes after the last "
        "write. (In this case the weak part is the agent's side of the world, not the core.)",
        plant=plant("06", weak.lazy_unmount, Budget(waits=0, moves=1)),
    ),
    Case(
        slug="07",
        rule="7",
        says="Durable before effect: a grant is sent only when it is on the disk.",
        without="A grant is sent in the next beat, while its record is on its way to the disk.",
        consequence="both have a right",
        story="failoverd dies between the beat and the fsync. The peer has the grant; the disk of the giver "
        "still says that the right is here, and so will its next life.",
        saved="The beat shows the grant as not durable yet, addressed to nobody; pete cannot accept it. It is sent "
        "when no crash can take it back.",
        plant=plant("07", weak.grant_told_early, Budget(waits=0, moves=1, crashes=1), setting=SLOW),
    ),
    Case(
        slug="08",
        rule="8",
        says="Proof is OFF, read back from all plugs by a separate call after the last off.",
        without="An off that exits 0 is proof.",
        consequence="mounted twice",
        story="The switch took the command and did not switch: a relay that sticks, a plug name that matches "
        "nothing, a session that ended early. The cable is what was cut, not the power.",
        saved="The plugs read ON, so mclaws is not fenced. Nothing is taken; the shot is repeated, and the "
        "operator is told.",
        plant=plant("08", weak.exit_code_is_proof, Budget(waits=2, device_failures=1)),
    ),
    Case(
        slug="09",
        rule="9",
        says="A beat of the fenced boot that answers something sent after OFF was read shows that the proof was "
        "false.",
        without="Every beat of a boot that was proved off is taken for a late one and ignored.",
        consequence="mounted twice",
        story="The off went to an outlet that is not the peer's (wrong plug in ha.cf, or a second power "
        "supply), and that outlet reads OFF indeed. No manager can see that. But mclaws is heard again before "
        "the takeover has begun, answering what was sent after it was “off”.",
        saved="The proof is void and the right it gave, not used yet, is given up; both are told to the "
        "operator as an alarm.",
        plant=plant(
            "09",
            weak.deaf_to_the_fenced,
            NO_TROUBLE,
            setting=SLOW,
            prelude=(
                SETTLE,
                f"{PETE}: hears nothing for deadtime",
                f"{PETE}: hears nothing for deadtime",
                f"{PETE}: the record is on its disk",
                f"{PETE}: its shot is read back OFF, falsely",
                f"{MCLAWS}: the last beat of {PETE} arrives",
                f"{MCLAWS}: its next beat is due",
                f"{PETE}: the last beat of {MCLAWS} arrives",
            ),
        ),
    ),
    Case(
        slug="09-restart",
        rule="9",
        says="A new boot_id is proof of a reset; a new nonce is not.",
        without="A new life of failoverd is taken for a new boot.",
        consequence="both have a right, one mounted",
        story="failoverd was restarted on the node that serves, for an upgrade, say. Its resources went on all "
        "the time.",
        saved="The boot_id is the same: what ran there may still run. A new nonce only begins a new handshake.",
        plant=plant("09-restart", weak.restart_is_reset, Budget(waits=0, crashes=1)),
    ),
    Case(
        slug="10",
        rule="10",
        says="Who has a group and runs it shoots at once, the other node waits its turn.",
        without="Whoever is silent long enough is shot at once, whoever runs the service.",
        consequence="nobody is left",
        story="The links are cut, and both nodes live. Both count the same silence and both fire: two sessions at "
        "one switch, or one at each of two. Which off is obeyed first is chance, and both may be.",
        saved="mclaws runs the group, so it does not wait. pete has nothing and waits: longer than the slowest "
        "shot, deadtime and an interval of beats together, so it is off before its turn comes. If mclaws were "
        "without power instead, pete's turn would come.",
        plant=plant("10", weak.no_turns, Budget(waits=9, resets=1), setting=ONE_CLOCK),
    ),
    Case(
        slug="11",
        rule="11",
        says="Told “I cannot hear you” for deadtime, a node counts the peer as silent, too.",
        without="A peer that is heard is up, also when it says that it hears nothing.",
        consequence="nobody is left",
        story="One direction is broken: pete receives nothing. It says so in every beat, and mclaws, which serves, "
        "takes no notice as long as it hears anything. So pete's turn comes near; and when the other direction "
        "fails as well, mclaws begins to count as late as pete is about to end.",
        saved="mclaws is told that it is not heard, counts pete as silent after deadtime, and has the first turn, "
        "as it runs the group. The turns of rule 10 hold only between nodes that begin to count within deadtime "
        "and a beat.",
        plant=plant(
            "11",
            weak.hearing_is_enough,
            Budget(waits=9, resets=1),
            setting=replace(ONE_CLOCK, home=PETE),
            prelude=(SETTLE, f"{PETE}: failoverctl standby", SETTLE),
            without=(f"{PETE}: the last beat of", f"{PETE}: loses its power", f"{MCLAWS}: loses its power"),
        ),
    ),
    Case(
        slug="12",
        rule="12",
        says="A shot is given up if the peer is current and hears me before it is fired.",
        without="What was decided is done.",
        consequence="a healthy node is cut",
        story="Between the decision and the shot lies a record on its way to the disk. The silence ends in "
        "between.",
        saved="Everything that led to the shot is looked at once more when the disk has answered; the peer "
        "beats, and the shot is given up.",
        plant=plant("12", weak.no_abort, Budget(waits=2), setting=SLOW),
    ),
    Case(
        slug="13",
        rule="13",
        says="A pending on is finished or killed before any off.",
        without="An off is sent beside an on that is under way.",
        consequence="OFF that does not last",
        story="pete was cut, and its power is just being given back when it has to be cut again. Two agents "
        "talk to one switch at once, and which of them is obeyed last is chance: an on that comes after the "
        "off was read back gives power to a node that was proved off.",
        saved="The power-on is called off, and its agent is waited for; then the off is sent.",
        plant=plant("13", weak.off_beside_on, Budget(waits=0, fence_orders=2, resets=2)),
    ),
    Case(
        slug="14",
        rule="14",
        says="A node that beats is shot because it asks for it, and for the right and the boot it asked with.",
        without="Once asked for, the shot is fired, whatever the peer says in the meantime.",
        consequence="a healthy node is cut",
        story="A stop failed on mclaws, and it asked to be fenced. Its next try to stop is under way when the "
        "shot, decided before, is fired: mclaws does not ask any more.",
        saved="The request is read again from the last beat before the shot is fired; it is not there, so "
        "neither is the shot.",
        plant=plant(
            "14",
            weak.asked_once_is_enough,
            Budget(waits=1),
            setting=SLOW,
            without=(f"{PETE}: hears nothing",),
            prelude=(
                SETTLE,
                STANDBY,
                f"{MCLAWS}: the record is on its disk",
                f"{MCLAWS}: its stop fails",
                f"{PETE}: the last beat of {MCLAWS} arrives",
            ),
        ),
    ),
    Case(
        slug="15",
        rule="15",
        says="A node without contact since its boot does not shoot.",
        without="A node that has just booted and hears nobody shoots like any other.",
        consequence="a fence loop",
        story="The link is broken, nothing else. pete has taken over; mclaws boots, hears nobody, and cuts the "
        "node that serves. Then pete boots, and hears nobody. The pair shoots itself until somebody repairs "
        "the cable.",
        saved="mclaws has heard nobody since it booted. It looks whether the plugs of pete read OFF already; "
        "they read ON, so it waits, and pete serves.",
        plant=plant("15", weak.no_contact_needed, Budget(waits=2), prelude=(SETTLE, *CUT_AND_TAKEN)),
    ),
    Case(
        slug="16",
        rule="16",
        says="Of two active nodes the one with the lower epoch must not unmount; it resets itself.",
        without="It stops the group in good order.",
        consequence="the end of a filesystem",
        story="The worst has happened already: the off went to an outlet that is not the peer's, it read OFF, "
        "and both nodes have the filesystem mounted. They hear each other again. mclaws is polite and "
        "unmounts: it writes its log and its superblock over what pete has written since.",
        saved="A reset writes nothing. mclaws resets itself, and its boot finds no right; pete serves from what "
        "is on the disk. What both wrote before is for the operator to examine, and both say so.",
        plant=plant(
            "16",
            weak.lower_unmounts,
            NO_TROUBLE,
            setting=Setting(two_active=True, slow_disks=False),
            prelude=(
                SETTLE,
                f"{PETE}: hears nothing for deadtime",
                f"{PETE}: hears nothing for deadtime",
                f"{PETE}: its shot is read back OFF, falsely",
                f"{PETE}: its start succeeds",
            ),
        ),
    ),
    Case(
        slug="17",
        rule="17",
        says="A failed stop keeps the right and the claim.",
        without="A stop that failed counts as a stop.",
        consequence="mounted twice",
        story="`umount` says *target is busy*. The group is given away all the same.",
        saved="mclaws keeps the right and asks pete to fence it. Power off is a stop that does not fail.",
        plant=plant("17", weak.failed_stop_is_a_stop, Budget(waits=0, moves=1, agent_failures=1)),
    ),
    Case(
        slug="18",
        rule="18",
        says="After a failed start the group is stopped, and only then granted.",
        without="A start that failed has nothing to stop.",
        consequence="mounted twice",
        story="The disk was mounted and the address came up; then the NFS server failed to start. The group is "
        "given away with the disk still mounted.",
        saved="The group is stopped, and the stop verified, before anything is granted.",
        plant=plant("18", weak.failed_start_is_over, Budget(waits=0, agent_failures=1), prelude=()),
    ),
    Case(
        slug="19",
        rule="19",
        says="Maintenance holds only when the peer acknowledged it.",
        without="The node that was told keeps still by itself, and says *done*.",
        consequence="people at work are shot",
        story="The operator is told that the pair keeps still, and takes failoverd or a cable away. The other "
        "node never heard of it, and does what it is there for.",
        saved="The order is answered only when pete has said, in answer to something sent after it, that it keeps "
        "still. Until then nobody is told to begin.",
        plant=plant("19", weak.still_alone, Budget(waits=2), setting=Setting(maintenance=True, slow_disks=False)),
    ),
    Case(
        slug="20",
        rule="20",
        says="With different configuration files planned moves are refused.",
        without="A peer is ready whatever files it has.",
        consequence="mounted twice",
        story="Somebody exchanged the disks of the two groups in haresources on pete, and restarted failoverd "
        "there, but not on mclaws. On pete, *web* now is the disk that mclaws has mounted for *files*. Every "
        "right and every grant is in order: they are about names.",
        saved="The beats of pete carry another hash of the files, so it is not ready, and the order is refused "
        "with that reason. Nothing is given until the files are alike.",
        plant=plant(
            "20",
            weak.whatever_its_files,
            Budget(waits=0, moves=1),
            setting=Setting(second_home=MCLAWS, edited=True, slow_disks=False),
            prelude=(
                SETTLE,
                f"{MCLAWS}: its start of web succeeds",
                f"{MCLAWS}: its start of files succeeds",
                SETTLE,
                f"{PETE}: failoverd dies",
                f"{PETE}: failoverd starts",
                SETTLE,
            ),
        ),
    ),
    Case(
        slug="21",
        rule="21",
        says="Decisions to start, grant or shoot are made on facts from a fresh echo.",
        without="What was not heard while this node did not run counts as the peer's silence.",
        consequence="a healthy node is cut",
        story="failoverd was stopped for longer than deadtime: a debugger, swapping, a snapshot of a virtual "
        "machine. The beats of pete are waiting in its socket. It looks at the clock first.",
        saved="The first thing noticed after a pause is the pause: silence is counted from its end, and nothing is "
        "decided before a beat answers something sent since.",
        plant=plant("21", weak.pause_unnoticed, Budget(waits=0, pauses=1)),
    ),
    Case(
        slug="23",
        rule="23",
        says="No records means no rights; passive until rule 2 gives one.",
        without="A home node without records takes the right for its own.",
        consequence="both have a right, one mounted",
        story="The state directory of mclaws is lost (a new root disk, a restore, an overeager cleanup) while "
        "pete runs the group.",
        saved="mclaws begins with no right and epoch 0. It hears that pete has the right, and stays passive.",
        plant=plant(
            "23", weak.home_has_it, Budget(waits=0, crashes=1, lost_state=1), prelude=(SETTLE, STANDBY, SETTLE)
        ),
    ),
    Case(
        slug="25",
        rule="25",
        says="A proof drill cuts a passive node only.",
        without="A drill cuts whoever beats.",
        consequence="the service is cut",
        story="The drill is ordered on the wrong node of the two.",
        saved="pete is asked to cut mclaws, which has the group: refused, with what to do instead.",
        plant=known("drill-anybody"),
    ),
    Case(
        slug="25-boot",
        rule="25",
        says="A drill has passed only when the node is back with a new boot_id.",
        without="It has passed when the plugs read ON again.",
        consequence="a proof of nothing",
        story="The plugs went off and on; whether the node behind them did was not looked at. From then on "
        "status calls a pair proved that may have the plugs of somebody else's machine.",
        saved="The drill goes on until a current beat of another boot answers something sent after OFF.",
        plant=known("drill-at-its-word"),
    ),
    Case(
        slug="26",
        rule="26",
        says="What the rules forbid is shown in status, with what the operator can do.",
        without="Status names nothing to do.",
        consequence="nobody serves, and nobody is told",
        story="A blackout; one node comes back. It has heard nobody since its boot, so by rule 15 it does not "
        "shoot, and without a proof it takes nothing. It looks whether the plugs of pete read OFF; they have "
        "power. From here on nothing happens by itself until pete boots: that is what the rules promise, and it "
        "is right. What is wrong is a status that leaves it at that.",
        saved="Nothing else happens with the rule: no rule makes this node start. Its status names the way out "
        "that is left, and who may take it: the operator, who can see whether pete is off.",
        plant=plant(
            "26",
            weak.says_nothing_to_do,
            Budget(waits=3),
            setting=Setting(status=True, slow_disks=False),
            prelude=(SETTLE, f"{PETE}: loses its power", f"{MCLAWS}: loses its power"),
        ),
    ),
)
