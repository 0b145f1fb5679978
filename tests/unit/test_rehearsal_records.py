"""What the client is owed: gaps and acknowledged records."""

from failover_kit.rehearsal.records import Acknowledged, Acknowledgements, Gap, longest_gap, missing


def acks(*numbers):
    return [Acknowledged(1000 + number, number, "pete") for number in numbers]


def test_the_longest_gap_counts_the_edges():
    assert longest_gap([120, 140, 400, 420], 100, 430) == Gap(140, 400)
    assert longest_gap([120], 100, 900) == Gap(120, 900)
    assert longest_gap([], 100, 900).ms == 800
    assert longest_gap([50, 2000], 100, 900) == Gap(100, 900)


def test_a_record_that_was_acknowledged_and_is_not_there_is_found():
    records = "1 pete 11\n2 pete 12\n2 mclaws 15\n4 mclaws 17\n"
    assert missing(acks(1, 2, 4), records) == []
    assert missing(acks(1, 2, 3, 4, 5), records) == [3, 5]


def test_rubbish_in_the_file_is_no_record():
    assert missing(acks(7), "\0\0\0\n") == [7]


def test_the_clients_file_is_read_as_it_grows_and_half_lines_wait(tmp_path):
    path = tmp_path / "client"
    diary = Acknowledgements(str(path))
    assert diary.read() == []
    path.write_text("10 connected\n11 ack 1 pete\n12 ac")
    assert [ack.number for ack in diary.read()] == [1]
    with path.open("a") as file:
        file.write("k 2 mclaws\n13 lost timed out\n")
    assert diary.read() == [Acknowledged(11, 1, "pete"), Acknowledged(12, 2, "mclaws")]
    assert [ack.number for ack in diary.since(12)] == [2]
