"""The guests come from the machine's own package sources, in either format, and by its own way to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.image import apt, tools
from lab.image.tools import BuildError

RELEASE = "bookworm"


def _apt_dir(tmp_path: Path, one_line: str = "", **parts: str) -> str:
    (tmp_path / "sources.list.d").mkdir()
    if one_line:
        (tmp_path / "sources.list").write_text(one_line)
    for name, text in parts.items():
        stem, _, ending = name.rpartition("_")
        (tmp_path / "sources.list.d" / f"{stem}.{ending}").write_text(text)
    return str(tmp_path)


def test_one_line_sources_become_stanzas_with_their_options(tmp_path: Path) -> None:
    options = "[arch=amd64,i386 signed-by=/usr/share/keyrings/k.gpg]"
    text = f"deb {options} http://mirror.example/debian bookworm main contrib\n"
    found = apt.sources(RELEASE, _apt_dir(tmp_path, text))
    assert found == (
        "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main contrib\n"
        "Architectures: amd64 i386\nSigned-By: /usr/share/keyrings/k.gpg\n"
    )


def test_stanzas_keep_a_key_written_in_them_and_lose_other_suites(tmp_path: Path) -> None:
    text = (
        "Types: deb deb-src\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-backports trixie\n"
        "# a remark\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n"
    )
    found = apt.sources(RELEASE, _apt_dir(tmp_path, debian_sources=text))
    assert "Types: deb\n" in found
    assert "Suites: bookworm\n" in found
    assert "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n" in found


def test_both_files_count_and_security_suites_belong(tmp_path: Path) -> None:
    folder = _apt_dir(
        tmp_path,
        "deb http://mirror.example/debian bookworm main  # all of it\n",
        debian_sources="uris: http://mirror.example/sec\nsuites: bookworm-security\ntypes: deb\ncomponents: main\n",
    )
    assert [line for line in apt.sources(RELEASE, folder).splitlines() if line.startswith("Suites")] == [
        "Suites: bookworm",
        "Suites: bookworm-security",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("off_sources", "Enabled: no\nTypes: deb\nURIs: http://mirror.example/\nSuites: bookworm\n"),
        ("src_sources", "Types: deb-src\nURIs: http://mirror.example/\nSuites: bookworm\n"),
        ("src_list", "deb-src http://mirror.example/ bookworm main\n"),
        ("remark_list", "# deb http://mirror.example/ bookworm main\n"),
        ("vendor_list", "deb http://vendor.example/ nodistro main\n"),
        ("old_save", "deb http://mirror.example/ bookworm main\n"),
    ],
)
def test_what_is_no_source_of_the_release_is_left_out(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(BuildError, match=r"no package source of bookworm in .*suites there"):
        apt.sources(RELEASE, _apt_dir(tmp_path, **{name: text}))


def test_the_release_is_what_the_machine_says(tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text('NAME="Debian"\nVERSION_CODENAME="bookworm"\n')
    assert apt.codename(str(tmp_path / "os-release")) == "bookworm"
    (tmp_path / "os-release").write_text("NAME=Arch\n")
    with pytest.raises(BuildError, match="Debian 12"):
        apt.codename(str(tmp_path / "os-release"))


def test_proxies_and_checks_reach_the_guests_package_manager_and_indexes_do_not() -> None:
    dump = (
        'Acquire "";\nAcquire::http "";\nAcquire::http::Proxy "http://u:p@proxy.example:3128";\n'
        'Acquire::Check-Valid-Until "false";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";\n'
        'Acquire::Languages:: "de";\nAPT::Get::Assume-Yes "true";\n'
    )
    assert apt.acquire_options(dump).splitlines() == [
        'Acquire::http::Proxy "http://u:p@proxy.example:3128";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::Languages "none";',
    ]


POLICY = """\
xfsprogs:
  Installed: (none)
  Candidate: 6.1.0-1
  Version table:
     6.1.0-1 500
        500 http://mirror.example/debian bookworm/main amd64 Packages
aoetools:
  Installed: (none)
  Candidate: (none)
  Version table:
"""


def test_candidates_are_read_and_one_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "output", lambda argv: POLICY)
    assert apt.candidates(["xfsprogs"]) == {"xfsprogs": "6.1.0-1"}
    with pytest.raises(BuildError, match=r"no candidate for aoetools nosuch: run `apt-get update`"):
        apt.candidates(["xfsprogs", "aoetools", "nosuch"])


def test_the_kernel_is_what_the_meta_package_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-40-cloud-amd64\n"
    monkeypatch.setattr(tools, "output", lambda argv: answer)
    assert apt.kernel_package() == "linux-image-6.1.0-40-cloud-amd64"
    monkeypatch.setattr(tools, "output", lambda argv: "linux-image-cloud-amd64\n")
    with pytest.raises(BuildError, match="apt knows no linux-image-cloud-amd64"):
        apt.kernel_package()
