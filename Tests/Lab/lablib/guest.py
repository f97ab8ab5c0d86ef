"""One run of a guest: what it is given, the QEMU command line, and what comes back."""

import contextlib
import os
import re
import secrets
import select
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import acpi, initramfs
from .errors import LabError
from .host import CHECKOUT

# By name: the address and QEMU's arguments. The slots are fixed, so that tests and demonstrations can name the devices;
# 1d to 1f are the lab's own and q35's.
DEVICES = {
    "edu": ("0000:00:02.0", ["-device", "edu,dma_mask=0xffffffffffffffff,addr=02.0"]),
    "memory": ("0000:00:03.0", ["-object", "memory-backend-ram,id=shared,size=16M,share=on",
                                "-device", "ivshmem-plain,memdev=shared,addr=03.0"]),
    "nvme": ("0000:00:04.0", ["-drive", "file={folder}/nvme.img,format=raw,if=none,id=disk",
                              "-device", "nvme,serial=lab,drive=disk,cmb_size_mb=4,legacy-cmb=on,addr=04.0"]),
}
# Behind a port of their own, two functions of one slot and one group: for what resets a whole bus.
DEVICES["bus-memory"] = ("0000:01:00.0", [
    "-device", "pcie-root-port,id=rootport,chassis=1,slot=1,addr=05.0",
    "-object", "memory-backend-ram,id=shared2,size=16M,share=on",
    "-device", "ivshmem-plain,memdev=shared2,bus=rootport,multifunction=on,addr=00.0"])
DEVICES["bus-edu"] = ("0000:01:00.1", ["-device", "edu,dma_mask=0xffffffffffffffff,bus=rootport,addr=00.1"])
# Behind another port, a disk controller that can have four virtual functions: an nvme has them only in a subsystem, and
# with queues and vectors set aside for them. QEMU's ports lose their sign of an active link when an Express device behind
# them is reset, and for links of more than 5 GT/s the kernel waits for it.
DEVICES["sriov-nvme"] = ("0000:02:00.0", [
    "-device", "pcie-root-port,id=rootport2,chassis=2,slot=2,x-speed=5,addr=06.0",
    "-device", "nvme-subsys,id=subsystem,nqn=lab-sriov",
    "-device", "nvme,serial=lab-sriov,subsys=subsystem,bus=rootport2,addr=00.0,max_ioqpairs=18,msix_qsize=19,"
               "sriov_max_vfs=4,sriov_vq_flexible=8,sriov_vi_flexible=8"])
# Behind ports of their own, so that they are PCI Express: two network cards, with address translation services. Each one's
# network sends a frame to where it listens itself: what goes out comes back. Without iommu_platform QEMU's virtio devices
# do DMA past the IOMMU, which would hit the kernel's memory at the addresses of our buffers.
for number, (name, bus, slot) in enumerate([("net", 3, "07.0"), ("net2", 4, "08.0")]):
    DEVICES[name] = (f"0000:{bus:02x}:00.0", [
        "-device", f"pcie-root-port,id=rootport{bus},chassis={bus},slot={bus},x-speed=5,addr={slot}",
        "-netdev", f"dgram,id={name},local.type=unix,local.path={{folder}}/{name},"
                   f"remote.type=unix,remote.path={{folder}}/{name}",
        "-device", f"virtio-net-pci,netdev={name},disable-legacy=on,iommu_platform=on,ats=on,"
                   f"mac=52:54:00:00:00:{7 + number:02x},romfile=,bus=rootport{bus},addr=00.0"])
# Under a root complex of its own that the IOMMU does not serve. Only a kernel with CONFIG_VFIO_NOIOMMU binds it to
# vfio-pci, so the guest does not insist. Its bridge has no MSI: Linux 6.1 complains of one that no IOMMU remaps.
UNPROTECTED_DEVICES = {
    "no-iommu-edu": ("0000:41:01.0", [
        "-device", "pxb-pcie,id=unprotected,bus=pcie.0,bus_nr=64,addr=1c.0,bypass_iommu=on",
        "-device", "pcie-pci-bridge,id=unprotectedbridge,bus=unprotected,addr=00.0,msi=off",
        "-device", "edu,dma_mask=0xffffffffffffffff,bus=unprotectedbridge,addr=01.0"]),
}
# Only in the machine `hotplug`: behind ports of their own, devices that a test pulls out by QMP, under the IDs that are the
# names here. An NVMe disk with a namespace, shared memory, and a network card that reports errors (AER).
PLUGGED_DEVICES = {
    "plugged-nvme": ("0000:05:00.0", [
        "-device", "pcie-root-port,id=rootport5,chassis=5,slot=5,x-speed=5,addr=09.0",
        "-drive", "file={folder}/plugged.img,format=raw,if=none,id=pluggeddisk",
        "-device", "nvme,id=plugged-nvme,serial=plugged,drive=pluggeddisk,bus=rootport5,addr=00.0"]),
    "plugged-net": ("0000:07:00.0", [
        "-device", "pcie-root-port,id=rootport7,chassis=7,slot=7,x-speed=5,addr=0b.0",
        "-device", "virtio-net-pci,id=plugged-net,disable-legacy=on,iommu_platform=on,aer=on,romfile=,bus=rootport7,addr=00.0"]),
}
# Three, since each is pulled out once: QEMU 7.2 does not always take one back.
for number, (bus, slot) in enumerate([(6, "0a.0"), (8, "0c.0"), (9, "0d.0")], start=1):
    PLUGGED_DEVICES[f"plugged-memory{number}"] = (f"0000:{bus:02x}:00.0", [
        "-device", f"pcie-root-port,id=rootport{bus},chassis={bus},slot={bus},x-speed=5,addr={slot}",
        "-object", f"memory-backend-ram,id=sharedplugged{number},size=16M,share=on",
        "-device", f"ivshmem-plain,id=plugged-memory{number},memdev=sharedplugged{number},bus=rootport{bus},addr=00.0"])
DISK_SIZE = 64 << 20

# What `--machine` chooses from. The standard one has the IOMMU, and everything above bound to vfio-pci.
STANDARD = "standard"
NO_IOMMU = "no-iommu"
BLOCKED = "blocked"
HOTPLUG = "hotplug"
ONE_TO_ONE = "one-to-one"
MACHINES = {
    STANDARD: "all devices are bound to vfio-pci",
    NO_IOMMU: "no IOMMU, and nothing is bound",
    HOTPLUG: "more devices, which can be pulled out by QMP, through a virtio port of the guest, lab-qmp",
    ONE_TO_ONE: "the firmware wants memory mapped 1:1 for edu",
    BLOCKED: "bus-memory and bus-edu share their group with a network card that the kernel's driver holds",
}
BLOCKER = ["-device", "virtio-net-pci,disable-legacy=on,romfile=,bus=rootport,addr=00.2"]

# One host thread for all emulated processors: with a thread for each (QEMU's default), a guest kernel that patches its
# own code now and then executes a breakpoint that was already taken away again, and panics ("Oops: int3").
ACCELERATORS = {"tcg": "tcg,thread=single", "kvm": "kvm"}

# panic=-1: a panic restarts the machine at once, which -no-reboot turns into the end of QEMU. no_timer_check: the kernel
# checks that its timer ticks against a busy loop, which goes wrong when the host is too busy to emulate ticks in time.
# enable_unsafe_noiommu_mode: for the unprotected device; it changes nothing for one behind the IOMMU.
KERNEL_PARAMETERS = "console=ttyS0 loglevel=5 printk.devkmsg=on panic=-1 no_timer_check"
IOMMU_PARAMETERS = " intel_iommu=on vfio.enable_unsafe_noiommu_mode=1"

# Folders of the host that the guest covers with fresh, writable file systems.
COVERED = ("/tmp", "/run")

FAULT = re.compile(r"DMAR: (\[|DRHD: handling fault)")
TROUBLE = re.compile(r"\b(BUG|WARNING|Oops|Kernel panic|lab init gave up)\b")
FATAL = re.compile(r"Kernel panic|lab init gave up")

# How long a guest may take from its exit status to having switched itself off.
GRACE = 10


@dataclass(frozen=True)
class Result:
    """What a run gave. `status` is None when the guest ended without one; `failure` then says how."""

    status: int
    failure: str
    kernel_log: str

    @property
    def faults(self):
        """The IOMMU's fault reports."""
        return [line for line in self.kernel_log.splitlines() if FAULT.search(line)]

    @property
    def trouble(self):
        """The kernel's complaints about itself."""
        return [line for line in self.kernel_log.splitlines() if TROUBLE.search(line)]

    def explanation(self):
        """Why there is no status, with the end of the kernel log."""
        tail = "\n".join("    " + line for line in self.kernel_log.splitlines()[-30:])
        return f"{self.failure}; the kernel log ends with:\n{tail or '    (nothing)'}"


class Guest:
    """A machine that is going to boot `kernel` for one command."""

    def __init__(self, kernel, accelerator, machine=STANDARD):
        self.kernel = kernel
        self.accelerator = accelerator
        self.machine = machine

    @property
    def has_iommu(self):
        return self.machine != NO_IOMMU

    @property
    def devices(self):
        return DEVICES | (PLUGGED_DEVICES if self.machine == HOTPLUG else {})

    def run(self, command, write, timeout):
        """Boots, runs `command` (a list of words), hands its output to `write` as it comes, and gives a Result."""
        token = f"lab-{secrets.token_hex(16)}-"
        with self._files(command, {"lab_mode": "run", "lab_token": token}) as folder:
            host_end, guest_end = socket.socketpair()
            with host_end:
                with guest_end:
                    qemu = self._start(folder, [
                        "-device", "virtio-serial-pci,addr=1d.0",
                        "-chardev", f"socket,id=channel,fd={guest_end.fileno()}",
                        "-device", "virtserialport,chardev=channel,name=lab",
                    ], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=[guest_end.fileno()])
                with ended_at_last(qemu):
                    channel = Channel(token.encode(), write)
                    failure = channel.read(host_end, time.monotonic() + timeout)
                    if failure is None:
                        # The status is known: it does not matter any more if the guest has ended already.
                        with contextlib.suppress(BrokenPipeError):
                            host_end.sendall(b"\n")
                        wait(qemu, GRACE)
                    elif failure == Channel.CLOSED:
                        failure += qemu_complaint(qemu, folder)
            return Result(channel.status, failure, kernel_log(folder))

    def shell(self):
        """Boots, and connects this terminal to a shell in the guest. Gives a Result, with status 0 once it was left."""
        columns, rows = shutil.get_terminal_size()
        settings = {"lab_mode": "shell", "lab_rows": str(rows), "lab_columns": str(columns)}
        terminal = os.environ.get("TERM", "linux")
        with self._files([os.environ.get("SHELL", "/bin/sh"), "-i"], settings, TERM=terminal) as folder:
            qemu = self._start(folder, ["-chardev", "stdio,id=terminal,signal=off", "-serial", "chardev:terminal"])
            with ended_at_last(qemu):
                qemu.wait()
            log = kernel_log(folder)
            if qemu.returncode == 0 and not FATAL.search(log):
                return Result(0, None, log)
            return Result(None, "the guest failed" + qemu_complaint(qemu, folder), log)

    @contextlib.contextmanager
    def _files(self, command, settings, **variables):
        """A folder of this run's own, with the files that QEMU reads."""
        settings = dict(settings)
        bound, unprotected = (self.devices, UNPROTECTED_DEVICES) if self.has_iommu else ({}, {})
        settings["lab_devices"] = " ".join(address for address, _ in bound.values())
        settings["lab_unprotected_devices"] = " ".join(address for address, _ in unprotected.values())
        settings["lab_visible_paths"] = " ".join(visible_paths(command))
        assignments = "".join(f"{name}={shlex.quote(value)}\n" for name, value in settings.items())
        with tempfile.TemporaryDirectory(prefix="swift-vfio-lab-") as name:
            folder = Path(name)
            script = guest_script(command, {**guest_environment(self.kernel.name, self.machine, self.devices), **variables})
            archive = initramfs.build(self.kernel.modules, assignments, script)
            if self.machine == ONE_TO_ONE:
                archive = self._firmware() + archive
            (folder / "initramfs").write_bytes(archive)
            for image in ("nvme.img", "plugged.img"):
                with open(folder / image, "wb") as disk:
                    disk.truncate(DISK_SIZE)
            yield folder

    def _firmware(self):
        """What the firmware of the machine says otherwise: from its own table, which a run before tells."""
        table = bytearray()
        result = Guest(self.kernel, self.accelerator).run(["cat", acpi.DMAR], table.extend, timeout=300)
        if result.status != 0:
            raise LabError(f"the guest's DMAR table cannot be read: {result.explanation()}")
        return acpi.archive(acpi.with_reserved_memory(bytes(table), device=2, first=0xf0000, last=0xfffff))

    def _start(self, folder, channel, **options):
        # setpriv: should the lab be killed, QEMU must not stay behind.
        arguments = [
            "setpriv", "--pdeathsig", "KILL",
            "qemu-system-x86_64",
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            # The IOMMU remaps interrupts, for which part of the interrupt controller has to be QEMU's.
            "-machine", "q35,kernel-irqchip=" + ("split" if self.has_iommu else "on"), "-accel", ACCELERATORS[self.accelerator],
            "-cpu", "max", "-smp", "2", "-m", "4G",
            *(["-device", "intel-iommu,intremap=on,caching-mode=on"] if self.has_iommu else []),
            "-kernel", str(self.kernel.image), "-initrd", str(folder / "initramfs"),
            "-append", KERNEL_PARAMETERS + (IOMMU_PARAMETERS if self.has_iommu else ""),
            "-serial", f"file:{folder}/kernel.log",
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot,addr=1e.0",
            *channel,
        ]
        for _, device in (self.devices | UNPROTECTED_DEVICES).values():
            arguments += [word.format(folder=folder) for word in device]
        if self.machine == BLOCKED:
            arguments += BLOCKER
        with contextlib.ExitStack() as stack:
            if self.machine == HOTPLUG:
                # QEMU's monitor and a port of the guest, so that what runs there can pull its own devices. The guest's
                # kernel sees to the slots itself, since one of the kernels here has no ACPI hot-plug.
                monitor, port = (stack.enter_context(end) for end in socket.socketpair())
                options["pass_fds"] = [*options.get("pass_fds", ()), monitor.fileno(), port.fileno()]
                arguments += [
                    "-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off",
                    "-chardev", f"socket,id=monitor,fd={monitor.fileno()}", "-mon", "chardev=monitor,mode=control",
                    "-chardev", f"socket,id=monitorport,fd={port.fileno()}",
                    "-device", "virtserialport,chardev=monitorport,name=lab-qmp"]
            log = stack.enter_context(open(folder / "qemu.log", "wb"))
            return subprocess.Popen(arguments, stderr=log, **options)


class Channel:
    """Reads what the guest sends: a start mark, the command's output, and its exit status at the end.

    Both marks begin with a token that is new for each run, so no output can be taken for one.
    """

    CLOSED = "the guest ended without an exit status"

    def __init__(self, token, write):
        self.token = token
        self.write = write
        self.status = None
        self._started = False
        self._buffer = b""

    def read(self, connection, deadline):
        """Reads up to the exit status. Gives None, or how it failed to come."""
        while self.status is None:
            ready, _, _ = select.select([connection], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                return "the command did not end in time" if self._started else "the guest did not start in time"
            data = connection.recv(1 << 16)
            if not data:
                self.write(self._buffer)
                return self.CLOSED
            self._buffer += data
            self._take()
        return None

    def _take(self):
        """Hands on what is certainly output, and acts on complete marks."""
        while True:
            output, mark, rest = self._buffer.partition(self.token)
            if not mark:
                held = partial_suffix(self._buffer, self.token)
                self.write(self._buffer[:len(self._buffer) - held])
                self._buffer = self._buffer[len(self._buffer) - held:]
                return
            line, newline, after = rest.partition(b"\n")
            if not newline:
                return
            self.write(output)
            self._buffer = after
            if line == b"started":
                self._started = True
            else:
                self.status = int(line.removeprefix(b"status "))
                return


def partial_suffix(data, token):
    """The length of the longest end of `data` that `token` begins with."""
    return next((size for size in range(min(len(token), len(data)), 0, -1) if token.startswith(data[-size:])), 0)


def guest_environment(kernel_name, machine, devices):
    """The command's environment: the host's search path, the lab's own variables, and the host's SWIFT_VFIO_ ones."""
    path = os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin").split(":")
    environment = {
        "PATH": ":".join(path + [folder for folder in ("/usr/sbin", "/sbin") if folder not in path]),
        "HOME": "/root",
        "TMPDIR": "/tmp",
        "LANG": "C.UTF-8",
        # A backtrace of a crash takes minutes in an emulated processor.
        "SWIFT_BACKTRACE": os.environ.get("SWIFT_BACKTRACE", "enable=no"),
    }
    environment.update({name: value for name, value in os.environ.items() if name.startswith("SWIFT_VFIO_")})
    environment["SWIFT_VFIO_LAB"] = kernel_name
    environment["SWIFT_VFIO_LAB_MACHINE"] = machine
    devices = devices | UNPROTECTED_DEVICES
    environment["SWIFT_VFIO_LAB_DEVICES"] = ",".join(f"{name}={address}" for name, (address, _) in devices.items())
    return environment


def guest_script(command, environment):
    """The shell script that the guest runs in the host's file system."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return f"{exports}cd {shlex.quote(os.getcwd())} || exit 126\nexec {shlex.join(command)}\n"


def visible_paths(command):
    """What must stay visible although a folder above it is covered: the checkout, the current folder, the program."""
    program = shutil.which(command[0])
    # A program is run by the path that was typed, which may lead through links (`.build/debug` is one), so both the
    # folder of that path and the file that it ends at have to be there.
    typed = [os.path.dirname(os.path.abspath(program)), os.path.realpath(program)] if program else []
    paths = [str(CHECKOUT), os.getcwd()] + typed
    visible = sorted({path for path in paths if path.startswith(tuple(folder + "/" for folder in COVERED))}, key=len)
    if any(re.search(r"[\s'\"\\*?\[]", path) for path in visible):
        raise LabError(f"the guest cannot show a path with blanks or quotes under {' or '.join(COVERED)}: {visible}")
    return visible


@contextlib.contextmanager
def ended_at_last(process):
    """Kills the process at the end of the body if it still runs then, whatever happened in it."""
    try:
        yield
    finally:
        process.kill()
        process.wait()


def wait(process, seconds):
    """Waits for the process to end by itself, but not for ever."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def qemu_complaint(qemu, folder):
    """What QEMU itself had to say, if it said anything."""
    wait(qemu, GRACE)
    complaint = (folder / "qemu.log").read_text(errors="replace").strip()
    return f" (QEMU said: {complaint})" if complaint else ""


def kernel_log(folder):
    """The kernel's messages, as the serial console showed them."""
    log = folder / "kernel.log"
    return log.read_text(errors="replace").replace("\r", "") if log.exists() else ""
