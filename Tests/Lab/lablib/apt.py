"""Debian packages of any suite, fetched without touching the machine's own apt set-up."""

import re
from pathlib import Path

from .errors import LabError
from .host import run

ARCHIVE_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class PrivateApt:
    """apt with lists, cache and sources of its own, which knows one suite only.

    One suite, so that "the newest version of a package" needs no pinning: whatever a metapackage such as
    `linux-image-amd64` names there is the newest kernel of that suite.
    """

    def __init__(self, folder, suite):
        self.suite = suite
        self.folder = folder / suite
        self.sources = self.folder / "sources.list"

    def update(self):
        """Fetches the suite's package list, from the mirror that the machine already uses."""
        if not ARCHIVE_KEYRING.exists():
            raise LabError(f"{ARCHIVE_KEYRING} is missing; install the package debian-archive-keyring")
        for part in ("lists/partial", "cache/archives/partial"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        self.sources.write_text(f"deb [signed-by={ARCHIVE_KEYRING}] {self._mirror()} {self.suite} main\n")
        # Any-error: by default apt-get update succeeds with stale lists when the network is down.
        self._run("apt-get", "-o", "APT::Update::Error-Mode=any", "update")

    def newest(self, package):
        """The control fields of the newest version of `package`."""
        fields = {}
        for line in self._run("apt-cache", "show", "--no-all-versions", package).splitlines():
            match = re.match(r"([A-Za-z-]+): (.*)", line)
            if match:
                fields[match.group(1)] = match.group(2)
        return fields

    def dependencies(self, package, pattern):
        """`package` and what it depends on, directly or not, as far as the names match the regular expression."""
        found, pending = [], [package]
        while pending:
            name = pending.pop()
            found.append(name)
            for dependency in re.split(r"[,|]", self.newest(name).get("Depends", "")):
                words = dependency.split()
                if words and re.fullmatch(pattern, words[0]) and words[0] not in found + pending:
                    pending.append(words[0])
        return found

    def download(self, packages, folder):
        """Downloads the .deb files of `packages` into `folder` and gives their paths."""
        folder.mkdir(parents=True)
        self._run("apt-get", "download", *packages, cwd=folder)
        return sorted(folder.glob("*.deb"))

    def _run(self, program, *arguments, **options):
        settings = {
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::sourcelist": self.sources,
            "Dir::Etc::sourceparts": "/dev/null",
            # The folder may be readable by its owner alone, and apt's own sandbox user is somebody else.
            "APT::Sandbox::User": "root",
        }
        words = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        return run([program, *words, *arguments], **options)

    @staticmethod
    def _mirror():
        """The address of the Debian archive that the machine's own apt set-up names first."""
        targets = run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"])
        if not targets.strip():
            raise LabError("apt knows no package source to take kernels from; check the machine's apt set-up")
        return targets.split()[0]
