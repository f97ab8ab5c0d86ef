/// What is read from sysfs, on trees that were recorded on real kernels.
@Suite struct PCIBusTests {
    // MARK: Recorded machines

    @Test("a machine without an IOMMU has devices in no group")
    func noIOMMU() throws {
        let bus = PCIBus(kernel: try RecordedTree(recording: "no-iommu"))
        let functions = try bus.functions()
        #expect(functions.count == 12)
        #expect(functions.allSatisfy { $0.iommuGroup == nil && $0.vfioNode == nil })
        let nvme = try bus.function(at: "0000:00:04.0")
        #expect(nvme.driver == "nvme")
        #expect(!nvme.isBoundToVFIO)
        #expect(nvme.isEnabled)
        #expect(nvme.resetMethods == ["flr"])
        #expect(throws: VFIOError.self) { try bus.devices(inGroup: 0) }
    }

    @Test("a bridge to conventional PCI shares its group with what is behind it")
    func bridge() throws {
        let bus = PCIBus(kernel: try RecordedTree(recording: "bridge"))
        #expect(try bus.devices(inGroup: 5) == ["0000:00:08.0", "0000:02:01.0", "0000:02:02.0"])
        let bridge = try bus.function(at: "0000:00:08.0")
        #expect(bridge.isBridge)
        #expect(bridge.parent == nil)
        let card = try bus.function(at: "0000:02:02.0")
        #expect(card.parent == "0000:00:08.0")
        #expect(card.iommuGroup == 5)
        #expect((card.vendorID, card.deviceID) == (0x8086, 0x100e))
        #expect(card.classCode == 0x020000)
        #expect(card.driver == nil)
    }

    @Test("a device is bound, free, or behind a port")
    func drivers() throws {
        let bus = PCIBus(kernel: try RecordedTree(recording: "bridge"))
        let edu = try bus.function(at: "0000:00:02.0")
        #expect(edu.isBoundToVFIO)
        #expect(edu.driverOverride == "vfio-pci")
        #expect(edu.vfioNode == "vfio0")
        #expect(edu.leavesGroupViable)
        #expect(!edu.isEnabled)
        let free = try bus.function(at: "0000:00:03.0")
        #expect(free.driver == nil)
        #expect(free.driverOverride == nil)
        #expect(free.vfioNode == nil)
        let port = try bus.function(at: "0000:00:05.0")
        #expect(port.driver == "pcieport")
        #expect(port.leavesGroupViable)
        #expect(try bus.function(at: "0000:01:00.1").parent == "0000:00:05.0")
    }

    // MARK: Odd ones

    @Test("a device that vanishes while it is read is left out of the list, and is not found by itself")
    func vanishing() throws {
        let whole = try PCIBus(kernel: RecordedTree(recording: "bridge")).addresses()
        for attribute in ["vendor", "class", "driver_override", "driver", "iommu_group", "enable"] {
            let tree = try RecordedTree(recording: "bridge")
            tree.beforeReading("/sys/bus/pci/devices/0000:00:04.0/\(attribute)") { tree in
                tree.remove("/sys/devices/pci0000:00/0000:00:04.0")
                tree.remove("/sys/bus/pci/devices/0000:00:04.0")
            }
            let bus = PCIBus(kernel: tree)
            #expect(try bus.functions().map(\.address) == whole.filter { $0 != "0000:00:04.0" }, "\(attribute)")
            let error = expectError(.notFound) { _ = try bus.function(at: "0000:00:04.0") }
            #expect(
                error?.description
                    == "cannot read what sysfs says of the device for 0000:00:04.0: No such file or directory "
                    + "(ENOENT): the machine has no device at this address")
        }
    }

    @Test("an attribute that goes alone is none")
    func unbindingMeanwhile() throws {
        let tree = try RecordedTree(recording: "bridge")
        tree.beforeReading("/sys/bus/pci/devices/0000:00:04.0/driver") { tree in
            tree.remove("/sys/devices/pci0000:00/0000:00:04.0/driver")
        }
        #expect(try PCIBus(kernel: tree).function(at: "0000:00:04.0").driver == nil)
    }

    @Test("an attribute that is no number is told with its path")
    func oddNumber() throws {
        let tree = try RecordedTree(recording: "bridge")
        tree.add("/sys/devices/pci0000:00/0000:00:04.0/vendor = 0x10001")
        var unreadable: [VFIOError] = []
        let others = try PCIBus(kernel: tree).functions { unreadable.append($0) }
        #expect(unreadable.map(\.subject) == ["0000:00:04.0"])
        #expect(others.count == (try PCIBus(kernel: tree).addresses().count) - 1)
        expectError(.unexpectedAnswer, hint: "/sys/bus/pci/devices/0000:00:04.0/vendor holds \"0x10001\"") {
            _ = try PCIBus(kernel: tree).functions()
        }
    }

    @Test("a machine without PCI says so")
    func noPCI() {
        expectError(.unsupported, hint: "the kernel has no PCI, or /sys is not mounted") {
            _ = try PCIBus(kernel: RecordedTree()).functions()
        }
    }

    @Test("virtual functions know their physical one, and it them")
    func virtualFunctions() throws {
        let tree = RecordedTree(
            """
            /sys/bus/pci/devices/0000:01:00.0 -> ../../../devices/pci0000:00/0000:00:05.0/0000:01:00.0
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/vendor = 0x1b36
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/device = 0x0010
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/class = 0x010802
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/numa_node = 1
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/sriov_totalvfs = 4
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/virtfn0 -> ../0000:01:00.1
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.0/virtfn1 -> ../0000:01:00.2
            /sys/bus/pci/devices/0000:01:00.1 -> ../../../devices/pci0000:00/0000:00:05.0/0000:01:00.1
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.1/vendor = 0x1b36
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.1/device = 0x0010
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.1/class = 0x010802
            /sys/devices/pci0000:00/0000:00:05.0/0000:01:00.1/physfn -> ../0000:01:00.0
            """)
        let functions = try PCIBus(kernel: tree).functions()
        #expect(functions.map(\.virtualFunctions) == [["0000:01:00.1", "0000:01:00.2"], []])
        #expect(functions.map(\.virtualFunctionLimit) == [4, nil])
        #expect(functions.map(\.physicalFunction) == [nil, "0000:01:00.0"])
        #expect(functions.map(\.numaNode) == [1, nil])
    }

    // MARK: Uses

    @Test("what the machine uses is told")
    func uses() throws {
        let tree = try RecordedTree(recording: "no-iommu")
        let bus = PCIBus(kernel: tree)
        #expect(try bus.uses(of: "0000:00:04.0") == [])
        let disk = "/sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1"
        tree.add(
            """
            /sys/class/block/nvme0n1p1 -> ../../devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0n1/nvme0n1p1
            \(disk)/nvme0n1p1/dev = 259:1
            /proc/self/mountinfo = 22 1 259:1 / /home rw - ext4 /dev/nvme0n1p1 rw
            /proc/swaps = Filename\\n/dev/nvme0n1 partition 8 0 -2
            \(disk)/holders/dm-0/
            """)
        #expect(
            try bus.uses(of: "0000:00:04.0").sorted { "\($0)" < "\($1)" } == [
                .partOf(blockDevice: "nvme0n1", holder: "dm-0"), .swap(blockDevice: "nvme0n1"),
                .mounted(blockDevice: "nvme0n1p1", at: "/home"),
            ])
        #expect(try bus.uses(of: "0000:00:02.0") == [])
    }

    @Test("a disk behind NVMe's multipath is found, and a file system with a device number of its own")
    func multipath() throws {
        let tree = try RecordedTree(recording: "bridge")
        let bus = PCIBus(kernel: tree)
        let disk = "/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"
        tree.add(
            """
            /sys/class/block/nvme0c0n1 -> ../../devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0c0n1
            /sys/devices/pci0000:00/0000:00:04.0/nvme/nvme0/nvme0c0n1/
            /sys/class/block/nvme0n1 -> ../..\(disk.dropFirst(4))
            /sys/class/block/nvme0n1p2 -> ../..\(disk.dropFirst(4))/nvme0n1p2
            \(disk)/dev = 259:0
            \(disk)/nvme0n1p2/dev = 259:2
            /proc/self/mountinfo = 22 1 0:5 / /proc rw - proc proc rw
            """)
        #expect(try bus.uses(of: "0000:00:04.0") == [])
        tree.add("/proc/self/mountinfo = 30 1 0:31 / /data rw - btrfs /dev/nvme0n1p2 rw")
        #expect(try bus.uses(of: "0000:00:04.0") == [.mounted(blockDevice: "nvme0n1p2", at: "/data")])
        tree.add("/proc/self/mountinfo = 30 1 259:0 / /data rw - ext4 /dev/root rw")
        #expect(try bus.uses(of: "0000:00:04.0") == [.mounted(blockDevice: "nvme0n1", at: "/data")])
    }

    @Test("an interface with a link, a member of a bond, and one that has moved to a container are used")
    func networkElsewhere() throws {
        let tree = try RecordedTree(recording: "bridge")
        let bus = PCIBus(kernel: tree)
        let device = "/sys/devices/pci0000:00/0000:00:08.0/0000:02:02.0"
        tree.add("\(device)/net/")
        #expect(try bus.uses(of: "0000:02:02.0") == [.networkElsewhere])
        tree.add(
            """
            /sys/class/net/eth0 -> ../../devices/pci0000:00/0000:00:08.0/0000:02:02.0/net/eth0
            \(device)/net/eth0/flags = 0x1003
            \(device)/net/eth0/carrier = 0
            """)
        #expect(try bus.uses(of: "0000:02:02.0") == [])
        tree.add("\(device)/net/eth0/carrier = 1")
        #expect(try bus.uses(of: "0000:02:02.0") == [.network(interface: "eth0")])
        tree.add("\(device)/net/eth0/carrier = 0\n\(device)/net/eth0/master -> ../../../../../virtual/net/bond0")
        #expect(try bus.uses(of: "0000:02:02.0") == [.network(interface: "eth0")])
    }

    @Test("a network interface is used when it is up and has an address or a route")
    func network() throws {
        let tree = try RecordedTree(recording: "bridge")
        let bus = PCIBus(kernel: tree)
        let folder = "/sys/devices/pci0000:00/0000:00:08.0/0000:02:02.0/net/eth0"
        tree.add(
            """
            /sys/class/net/eth0 -> ../../devices/pci0000:00/0000:00:08.0/0000:02:02.0/net/eth0
            \(folder)/flags = 0x1003
            /proc/net/route = Iface Destination
            /proc/net/if_inet6 = 00000000000000000000000000000001 01 80 10 80       lo
            """)
        #expect(try bus.uses(of: "0000:02:02.0") == [])
        tree.add("/proc/net/route = Iface Destination\\neth0 00000000")
        #expect(try bus.uses(of: "0000:02:02.0") == [.network(interface: "eth0")])
        tree.add("\(folder)/flags = 0x1002")
        #expect(try bus.uses(of: "0000:02:02.0") == [])
        tree.add(
            """
            \(folder)/flags = 0x1003
            /proc/net/route = Iface Destination
            /proc/net/if_inet6 = fe80000000000000505400fffe123456 02 40 20 80     eth0
            """)
        #expect(try bus.uses(of: "0000:02:02.0") == [.network(interface: "eth0")])
    }

    @Test("the boot display, virtual functions and an open device are uses")
    func otherUses() throws {
        let tree = try RecordedTree(recording: "bridge")
        let folder = "/sys/devices/pci0000:00/0000:00:04.0"
        tree.add("\(folder)/boot_vga = 1\n\(folder)/enable = 1\n\(folder)/virtfn0 -> ../0000:00:04.1")
        #expect(
            try PCIBus(kernel: tree).uses(of: "0000:00:04.0") == [.bootDisplay, .open, .virtualFunctions(count: 1)])
    }

    @Test("what cannot be read is no proof that a device is unused")
    func unreadable() throws {
        let tree = try RecordedTree(recording: "no-iommu")
        tree.fail("/proc/self/mountinfo", with: .permissionDenied)
        expectError(errno: .permissionDenied, hint: "/proc/self/mountinfo cannot be read") {
            _ = try PCIBus(kernel: tree).uses(of: "0000:00:04.0")
        }
    }
}
