"""The kernels of the lab: which there are, and how each comes into the cache.

A kernel in the cache is a folder `kernels/NAME/VERSION_RECIPE` with `vmlinuz`, the `config` it was built with, and
`modules/`, numbered in the order to load them. RECIPE is a hash of everything in this checkout that shapes the folder,
so that a change here makes a new folder and older checkouts keep theirs.
"""

import hashlib
import shutil
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from . import kernelbuild
from .apt import PrivateApt
from .errors import LabError
from .host import (LAB_FOLDER, PACKAGES_TO_BUILD, PACKAGES_TO_RUN, exclusive, missing_packages, note,
                   require_packages, require_platform, run)

# What a guest needs of a distribution's kernel. Those that a kernel has built in, or does not need, cost nothing.
DISTRIBUTION_MODULES = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p", "vfio_iommu_type1", "vfio_pci")


@dataclass(frozen=True)
class Kernel(ABC):
    """One kernel of the lab."""

    name: str
    suite: str
    summary: str

    # Of the host, to set the kernel up.
    packages = PACKAGES_TO_RUN
    # Of the suite: its version is the kernel's, and what it depends on is the newest kernel.
    metapackage = None

    @abstractmethod
    def recipe(self):
        """The bytes that stand for everything in this checkout that shapes the kernel's folder."""

    @abstractmethod
    def prepare(self, apt, work, folder):
        """Fills `folder` with the kernel, using `work` for intermediate files."""


@dataclass(frozen=True)
class DistributionKernel(Kernel):
    """The newest kernel of a Debian suite, unpacked from its packages and never installed."""

    modules: tuple = DISTRIBUTION_MODULES

    metapackage = "linux-image-amd64"

    def recipe(self):
        return " ".join((self.suite, *self.modules)).encode()

    def prepare(self, apt, work, folder):
        # A kernel is one package, or several parts, as the suite has it.
        packages = apt.dependencies(self.metapackage, r"linux-(image|binary|modules|base)-\d.*")[1:]
        note(f"{self.name}: fetching {', '.join(packages)}")
        root = work / "root"
        for package in apt.download(packages, work / "packages"):
            run(["dpkg-deb", "--extract", package, root])
        # Older packages use /lib, newer ones /usr/lib; modprobe wants /lib.
        if not (root / "lib").exists():
            (root / "lib").symlink_to("usr/lib")
        (modules,) = (root / "lib" / "modules").iterdir()
        copy_first(folder / "vmlinuz", modules / "vmlinuz", root / "boot" / f"vmlinuz-{modules.name}")
        copy_first(folder / "config", modules / "config", root / "boot" / f"config-{modules.name}")
        run(["depmod", "--basedir", root, modules.name])
        for number, module in enumerate(self._load_order(root, modules.name)):
            target = folder / "modules" / f"{number:02}-{module.name}"
            shutil.copy(module, target)
            if target.suffix == ".xz":
                run(["xz", "--decompress", target])

    def _load_order(self, root, release):
        """The module files that the wanted modules need, each after those that it depends on."""
        order = []
        for module in self.modules:
            steps = run(["modprobe", "--dirname", root, "--set-version", release, "--show-depends", module])
            for step in steps.splitlines():
                action, path = step.split(maxsplit=1)
                if action == "insmod" and Path(path.strip()) not in order:
                    order.append(Path(path.strip()))
        return order


@dataclass(frozen=True)
class BuiltKernel(Kernel):
    """The newest kernel source of a Debian suite, built with a configuration of ours."""

    fragment: Path
    modules: tuple = ()

    packages = PACKAGES_TO_RUN + PACKAGES_TO_BUILD
    metapackage = "linux-source"

    def recipe(self):
        return b"\n".join((self.suite.encode(), " ".join(self.modules).encode(), self.fragment.read_bytes()))

    def prepare(self, apt, work, folder):
        packages = apt.dependencies(self.metapackage, r"linux-source-\d.*")[1:]
        note(f"{self.name}: fetching {', '.join(packages)}")
        for package in apt.download(packages, work / "packages"):
            run(["dpkg-deb", "--extract", package, work / "root"])
        (tarball,) = (work / "root" / "usr" / "src").glob("linux-source-*.tar.xz")
        tree = kernelbuild.unpack(tarball, work / "source")
        kernelbuild.configure(tree, self.fragment)
        kernelbuild.build(tree, work / "build.log")
        shutil.copy(tree / "arch" / "x86" / "boot" / "bzImage", folder / "vmlinuz")
        shutil.copy(tree / ".config", folder / "config")
        for number, module in enumerate(self.modules):
            shutil.copy(tree / module, folder / "modules" / f"{number:02}-{Path(module).name}")


KERNELS = {kernel.name: kernel for kernel in (
    BuiltKernel(
        "iommufd", "trixie-backports", "newest, built here: iommufd, type1, dma-buf, KVM, sample mediated devices",
        fragment=LAB_FOLDER / "kernel" / "iommufd.config",
        modules=("drivers/vfio/mdev/mdev.ko", "samples/vfio-mdev/mtty.ko", "samples/vfio-mdev/mdpy.ko",
                 "samples/vfio-mdev/mbochs.ko")),
    DistributionKernel("stock", "trixie-backports", "newest of the distribution: type1 and dma-buf, no iommufd"),
    DistributionKernel("6.12", "bookworm-backports", "type1 only: older than dma-buf export"),
    DistributionKernel("6.1", "bookworm", "type1 only: older than dma-buf export and iommufd"),
)}
DEFAULT_KERNEL = "iommufd"


@dataclass(frozen=True)
class CachedKernel:
    """A kernel that is ready to boot."""

    name: str
    folder: Path

    @property
    def version(self):
        return self.folder.name.rpartition("_")[0]

    @property
    def image(self):
        return self.folder / "vmlinuz"

    @property
    def modules(self):
        return sorted((self.folder / "modules").iterdir())


def cached(kernel, cache):
    """The newest version of `kernel` in the cache, or None."""
    folders = (cache / "kernels" / kernel.name).glob(f"*_{recipe_hash(kernel)}")
    newest = max(folders, key=lambda folder: folder.stat().st_mtime, default=None)
    return newest and CachedKernel(kernel.name, newest)


def require_ready(name, cache):
    """The kernel called `name`, or an error that says how to get ready to boot it."""
    found = cached(KERNELS[name], cache)
    missing = missing_packages(PACKAGES_TO_RUN)
    if found is None or missing:
        what = f"the packages {', '.join(missing)} are missing" if missing else f"the kernel {name} is not set up"
        raise LabError(f"{what}; run: Tests/Lab/lab setup --kernel {name}")
    return found


def set_up(kernel, cache, refresh=False):
    """Brings `kernel` into the cache unless it is there. With `refresh`, a newer version of the archive is fetched."""
    require_platform()
    found = cached(kernel, cache)
    require_packages(PACKAGES_TO_RUN if found and not refresh else kernel.packages)
    if found and not refresh:
        return found
    with exclusive(cache / "locks" / kernel.name):
        found = cached(kernel, cache) # somebody else may have made it while this one waited
        if found and not refresh:
            return found
        apt = PrivateApt(cache / "apt" / kernel.name, kernel.suite)
        apt.update()
        place = cache / "kernels" / kernel.name / f"{apt.newest(kernel.metapackage)['Version']}_{recipe_hash(kernel)}"
        if not place.exists():
            _make(kernel, apt, cache / "work" / kernel.name, place)
        return CachedKernel(kernel.name, place)


def _make(kernel, apt, work, place):
    """Makes the kernel's folder aside and moves it into its place whole.

    The caller holds the kernel's lock, so what is in `work` was left by a set-up that failed or was killed.
    """
    if work.exists():
        shutil.rmtree(work)
    folder = work / "kernel"
    (folder / "modules").mkdir(parents=True)
    kernel.prepare(apt, work, folder)
    place.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(place)
    shutil.rmtree(work)


def recipe_hash(kernel):
    return hashlib.sha256(kernel.recipe()).hexdigest()[:12]


def copy_first(target, *sources):
    """Copies the first of `sources` that exists: where a package keeps a file differs between suites."""
    for source in sources:
        if source.exists():
            shutil.copy(source, target)
            return
    raise LabError(f"the kernel packages hold no {target.name}; looked for {', '.join(map(str, sources))}")
