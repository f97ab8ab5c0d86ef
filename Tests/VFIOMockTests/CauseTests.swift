import SystemPackage
import TestSupport
import Testing
import VFIO
import VFIOMock

/// The causes that errors name: only those that something shows.
@Suite struct CauseTests {
    private static let edu: PCIAddress = "0000:00:02.0"
    private static let regions = "/sys/kernel/iommu_groups/7/reserved_regions"
    private static let oneToOne =
        "0x00000000bdf83000 0x00000000bdf84fff direct\n0x00000000fee00000 0x00000000feefffff msi"

    /// The mock's kernel, with other files.
    private struct OddKernel: ForwardingKernel {
        let base: MockKernel
        var files: [String: String] = [:]
        var links: [String: String] = [:]
        var names: [String: [String]] = [:]
        var onlyNames: [String: [String]] = [:]
        var kernel: any Kernel { base }

        init(_ machine: MockMachine) { base = machine.kernel }

        func readFile(_ path: FilePath) throws(Errno) -> [UInt8] {
            if let text = files[path.string] { return Array((text + "\n").utf8) }
            return try base.readFile(path)
        }
        func readLink(_ path: FilePath) throws(Errno) -> FilePath {
            if let link = links[path.string] { return FilePath(link) }
            return try base.readLink(path)
        }
        func names(in folder: FilePath) throws(Errno) -> [String] {
            if let only = onlyNames[folder.string] { return only }
            let more = names[folder.string]
            do throws(Errno) {
                return (try base.names(in: folder) + (more ?? [])).sorted()
            } catch {
                guard let more else { throw error }
                return more
            }
        }
    }

    private struct Plain: MockDevice {
        let pci: MockPCIFunction
    }

    private static func makeMachine() -> MockMachine {
        let machine = MockMachine()
        machine.plug(EduModel(), at: edu, group: 7)
        return machine
    }

    private func opening(_ interface: AddressSpace.Interface, _ kernel: any Kernel) throws
        -> VFIOError
    {
        try #require(
            throws: VFIOError.self,
            performing: { _ = try Device(at: Self.edu, in: AddressSpace(interface, kernel: kernel)) })
    }

    // MARK: Opening

    @Test(
        arguments: [
            (.iommufd, .deviceBind, .invalidArgument), (.iommufd, .deviceBind, .notPermitted),
            (.type1, .groupSetContainer, .invalidArgument), (.type1, .setIOMMU, .notPermitted),
            (.type1, .setIOMMU, .invalidArgument),
        ] as [(AddressSpace.Interface, MockRequest, Errno)])
    func aOneToOneMappingOfTheFirmwareIsNamed(
        _ interface: AddressSpace.Interface, _ request: MockRequest, _ errno: Errno
    ) throws {
        let machine = Self.makeMachine()
        var kernel = OddKernel(machine)
        kernel.files[Self.regions] = Self.oneToOne
        machine.failNextCall(.ioctl, with: errno, request: request)
        let error = try opening(interface, kernel)
        #expect(error.code == .unsupported && error.errno == errno)
        #expect(
            error.hint
                == "the firmware wants 0xbdf83000...0xbdf84fff mapped 1:1 for a device of IOMMU group 7 (RMRR or IVMD), and "
                + "Linux gives no such device to a program; a setting of the firmware may end that")
        // A mapping that Linux may give up does not matter.
        kernel.files[Self.regions] = Self.oneToOne.replacing("direct", with: "direct-relaxable")
        machine.failNextCall(.ioctl, with: errno, request: request)
        let other = try opening(interface, kernel)
        #expect(other.code == .kernel && other.hint?.contains("1:1") != true)
        #expect(machine.openFiles.isEmpty)
    }

    @Test(arguments: ["6.1.0-50-amd64", "6.5.13", "6.6.0"], ["dmar0", "ivhd0"])
    func aOneToOneMappingIsNoCauseForAnOldKernelOfAnotherMake(_ release: String, _ iommu: String) throws {
        let machine = Self.makeMachine()
        var kernel = OddKernel(machine)
        kernel.files[Self.regions] = Self.oneToOne
        kernel.files["/proc/sys/kernel/osrelease"] = release
        kernel.onlyNames["/sys/class/iommu"] = [iommu]
        for (interface, request) in [(.iommufd, .deviceBind), (.type1, .setIOMMU)]
            as [(AddressSpace.Interface, MockRequest)]
        {
            machine.failNextCall(.ioctl, with: .notPermitted, request: request)
            let isNamed = try opening(interface, kernel).hint?.contains("mapped 1:1") == true
            #expect(isNamed == (iommu == "dmar0" || release == "6.6.0"))
        }
    }

    @Test func interruptRemappingIsNotBlamedWhereItIsNotAskedFor() throws {
        let machine = Self.makeMachine()
        let ways: [(AddressSpace.Interface, MockRequest, String)] = [
            (.iommufd, .deviceBind, "iommufd"), (.type1, .setIOMMU, "vfio_iommu_type1"),
        ]
        for (interface, request, module) in ways {
            for chips in [["PCI-MSI-0000:00:1f.2"], []] {
                var kernel = OddKernel(machine)
                kernel.names["/sys/kernel/irq"] = chips.indices.map { "\($0)" }
                for (number, chip) in chips.enumerated() { kernel.files["/sys/kernel/irq/\(number)/chip_name"] = chip }
                kernel.files["/sys/module/\(module)/parameters/allow_unsafe_interrupts"] = "Y"
                machine.failNextCall(.ioctl, with: .notPermitted, request: request)
                #expect(
                    try opening(interface, kernel).hint
                        == "a device of its IOMMU group is used by something that sysfs does not show")
            }
        }
    }

    @Test func interruptRemappingIsBlamedWhereTheInterruptsShowIt() throws {
        let machine = Self.makeMachine()
        let ways: [(AddressSpace.Interface, MockRequest, String)] = [
            (.iommufd, .deviceBind, "iommufd"), (.type1, .setIOMMU, "vfio_iommu_type1"),
        ]
        for (interface, request, module) in ways {
            func hint(_ chips: [String]) throws -> String? {
                var kernel = OddKernel(machine)
                kernel.names["/sys/kernel/irq"] = chips.indices.map { "\($0)" }
                for (number, chip) in chips.enumerated() {
                    kernel.files["/sys/kernel/irq/\(number)/chip_name"] = chip
                }
                machine.failNextCall(.ioctl, with: .notPermitted, request: request)
                return try opening(interface, kernel).hint
            }
            #expect(
                try hint(["IO-APIC", "PCI-MSI-0000:00:1f.2"])?.contains(
                    "allow_unsafe_interrupts of the module \(module)") == true)
            let use = "a device of its IOMMU group is used by something that sysfs does not show"
            #expect(try hint(["IR-IO-APIC", "IR-PCI-MSI-0000:00:1f.2"]) == use)
            #expect(
                try hint([])
                    == "\(use), or the platform does not remap interrupts; the kernel's log may tell which: dmesg"
            )
        }
    }

    @Test func aMemberOfAnotherBusIsNamed() throws {
        let machine = Self.makeMachine()
        var kernel = OddKernel(machine)
        kernel.names["/sys/kernel/iommu_groups/7/devices"] = ["INTL9C60:00", "PNP0C02:03"]
        kernel.links["/sys/kernel/iommu_groups/7/devices/INTL9C60:00/driver"] =
            "../../../bus/platform/drivers/idma64"
        let hint =
            "INTL9C60:00 is held by idma64; every device of the group has to be bound to vfio-pci or to nothing"
        for errno in [Errno.notPermitted, .resourceBusy] {
            machine.failNextCall(.ioctl, with: errno, request: .deviceBind)
            let error = try opening(.iommufd, kernel)
            #expect(error.code == .groupNotViable && error.hint == hint)
            machine.failNextCall(.ioctl, with: errno, request: .groupSetContainer)
            let legacy = try opening(.type1, kernel)
            #expect(legacy.code == .groupNotViable && legacy.errno == errno && legacy.hint == hint)
        }
        let group = try PCIBus(kernel: kernel).iommuGroup(7)
        #expect(group.members.map(\.name) == ["0000:00:02.0", "INTL9C60:00", "PNP0C02:03"])
        #expect(group.members.map(\.leavesGroupViable) == [true, false, true])
        #expect(group.reservedRegions.map(\.type) == ["msi"] && !group.reservedRegions[0].isOneToOne)
        let error = #expect(throws: VFIOError.self) { _ = try PCIBus(kernel: kernel).iommuGroup(99) }
        #expect(error?.code == .notFound)
    }

    @Test func anOpenDeviceIsBlamedOnlyIfItIsOpen() throws {
        let machine = Self.makeMachine()
        machine.failNextCall(.ioctl, with: .invalidArgument, request: .deviceBind)
        let error = try opening(.iommufd, machine.kernel)
        #expect(error.code == .kernel)
        #expect(
            error.hint
                == "the device is open already, here or in another program, or its IOMMU is not cache-coherent; the kernel's "
                + "log may tell which: dmesg")
        let device = try Device(at: Self.edu, in: AddressSpace(.iommufd, kernel: machine.kernel))
        let second = try opening(.iommufd, machine.kernel)
        #expect(second.code == .busy)
        #expect(second.hint == "the device is open already, here or in another program")
        try device.close()
        // Enabled, which its last driver may have left it; and open in a process of this machine.
        var kernel = OddKernel(machine)
        kernel.files["/sys/bus/pci/devices/0000:00:02.0/enable"] = "1"
        machine.failNextCall(.ioctl, with: .invalidArgument, request: .deviceBind)
        let enabled = try opening(.iommufd, kernel)
        #expect(enabled.code == .kernel && enabled.hint == error.hint)
        kernel.names["/proc"] = ["4000000242"]
        kernel.names["/proc/4000000242/fd"] = ["3"]
        kernel.links["/proc/4000000242/fd/3"] = "/dev/vfio/devices/vfio0"
        machine.failNextCall(.ioctl, with: .invalidArgument, request: .deviceBind)
        #expect(try opening(.iommufd, kernel).code == .busy)
        // It cannot be open if the kernel gives it to nobody.
        kernel.files[Self.regions] = Self.oneToOne
        machine.failNextCall(.ioctl, with: .invalidArgument, request: .deviceBind)
        #expect(try opening(.iommufd, kernel).hint?.contains("mapped 1:1") == true)
    }

    @Test func aContainerBlamesWhatItKnowsOf() throws {
        let machine = Self.makeMachine()
        machine.plug(SharedMemoryModel(), at: "0000:00:03.0", group: 8)
        machine.failNextCall(.ioctl, with: .invalidArgument, request: .groupSetContainer)
        #expect(try opening(.type1, machine.kernel).hint == nil)
        machine.failNextCall(.ioctl, with: .resourceBusy, request: .groupSetContainer)
        #expect(try opening(.type1, machine.kernel).hint == "another program uses the group")
        let space = try AddressSpace(.type1, kernel: machine.kernel)
        let device = try Device(at: "0000:00:03.0", in: space)
        machine.failNextCall(.ioctl, with: .invalidArgument, request: .groupSetContainer)
        let error = #expect(throws: VFIOError.self) { _ = try Device(at: Self.edu, in: space) }
        #expect(
            error?.hint == "the IOMMU of the group cannot share an address space with that of the others")
        try device.close()
    }

    // MARK: Bridges

    @Test func anEndpointOfABridgeClassIsADevice() throws {
        let machine = MockMachine()
        let address: PCIAddress = "0000:05:00.0"
        machine.plug(
            Plain(
                pci: MockPCIFunction(
                    vendor: 0x10de, device: 0x22a3, classCode: 0x068000, bars: [0: .memory(1 << 20)],
                    isExpress: true)),
            at: address, driver: nil)
        let function = try PCIBus(kernel: machine.kernel).function(at: address)
        #expect(function.isBridge && !function.isPlatformBridge && !function.isPort)
        let binding = DriverBinding(kernel: machine.kernel)
        try binding.apply(binding.planChange(of: address, to: "vfio-pci"))
        let device = try Device(at: address, in: AddressSpace(kernel: machine.kernel))
        try device.close()
    }

    // MARK: Virtual functions

    private static let physical: PCIAddress = "0000:02:00.0"
    private static let probing: FilePath = "/sys/bus/pci/devices/0000:02:00.0/sriov_drivers_autoprobe"

    private static func makePhysicalFunction(_ autoprobe: String) throws -> MockMachine {
        let machine = MockMachine()
        machine.plug(NVMePhysicalFunctionModel(virtualFunctionLimit: 4), at: physical)
        try machine.kernel.writeFile("/sys/module/vfio_pci/parameters/enable_sriov", Array("1".utf8))
        try machine.kernel.writeFile(probing, Array(autoprobe.utf8))
        return machine
    }

    @Test(arguments: ["0", "1"], [false, true])
    func automaticProbingStaysAsItWas(_ setting: String, _ isProbed: Bool) throws {
        let machine = try Self.makePhysicalFunction(setting)
        let functions = VirtualFunctions(kernel: machine.kernel)
        func now() throws -> String {
            String(decoding: try machine.kernel.readFile(Self.probing).prefix(1), as: UTF8.self)
        }
        let steps = try functions.steps(toMake: 2, of: Self.physical, isProbed: isProbed)
        // Set while they are made, if it is the other way.
        #expect(steps.count == (isProbed == (setting == "1") ? 1 : 3))
        if steps.count == 3 {
            #expect(steps[0].text == (isProbed ? "1" : "0") && steps[2].text == setting)
        }
        machine.failNextCall(.writeFile, with: .ioError, skipping: steps.count / 2)
        #expect(throws: VFIOError.self) { try functions.apply(steps, of: Self.physical) }
        #expect(try now() == setting)
        try functions.apply(steps, of: Self.physical)
        #expect(try now() == setting)
        #expect(
            try PCIBus(kernel: machine.kernel).function(at: Self.physical).virtualFunctions.count == 2)
    }

    @Test func noRoomForVirtualFunctionsIsSaid() throws {
        let machine = try Self.makePhysicalFunction("0")
        let functions = VirtualFunctions(kernel: machine.kernel)
        let steps = try functions.steps(toMake: 2, of: Self.physical)
        for (errno, words) in [
            (Errno.noMemory, "room for the functions' BARs, or for their bus numbers"),
            (.noSpace, "no room for as many"),
        ] {
            machine.failNextCall(.writeFile, with: errno)
            let error = #expect(throws: VFIOError.self) { try functions.apply(steps, of: Self.physical) }
            #expect(error?.code == .noSpace && error?.errno == errno)
            #expect(error?.hint?.contains(words) == true)
        }
    }

    @Test func theFunctionsThatWereAreMadeAgainWhenOthersAreRefused() throws {
        let machine = try Self.makePhysicalFunction("0")
        let functions = VirtualFunctions(kernel: machine.kernel)
        func count() throws -> Int {
            try PCIBus(kernel: machine.kernel).function(at: Self.physical).virtualFunctions.count
        }
        try functions.apply(functions.steps(toMake: 2, of: Self.physical), of: Self.physical)
        let steps = try functions.steps(toMake: 3, of: Self.physical)
        machine.failNextCall(.writeFile, with: .noMemory, skipping: 1)
        let error = #expect(throws: VFIOError.self) { try functions.apply(steps, of: Self.physical) }
        #expect(error?.code == .noSpace && error?.errno == .noMemory)
        #expect(
            error?.hint?.hasSuffix(
                "; the 2 that it had were removed, and have been made again, without what they were bound to") == true)
        #expect(try count() == 2)
        machine.failNextCall(.writeFile, with: .noMemory, skipping: 1, count: 2)
        let twice = #expect(throws: VFIOError.self) { try functions.apply(steps, of: Self.physical) }
        #expect(
            twice?.hint?.hasSuffix(
                "; the 2 that it had were removed, and could not be made again (Cannot allocate memory)") == true,
            "\(String(describing: twice))")
        #expect(try count() == 0)
        // With a setting that changes in between, also if that is refused.
        try functions.apply(functions.steps(toMake: 2, of: Self.physical), of: Self.physical)
        let probed = try functions.steps(toMake: 3, of: Self.physical, isProbed: true)
        for skipped in [0, 1, 2, 3] {
            machine.failNextCall(.writeFile, with: .ioError, skipping: skipped)
            #expect(throws: VFIOError.self) { try functions.apply(probed, of: Self.physical) }
            #expect(try count() == (skipped == 3 ? 3 : 2))
            let setting = try machine.kernel.readFile(Self.probing).first
            // If the last write is refused, the setting stays.
            #expect(setting == UInt8(ascii: skipped == 3 ? "1" : "0"))
        }
    }

    // MARK: Uses

    @Test func anEnabledDeviceIsSaidToBeOpenOnlyIfItIs() throws {
        let machine = Self.makeMachine()
        var kernel = OddKernel(machine)
        kernel.names["/proc"] = ["4000000242"]
        kernel.names["/proc/4000000242/fd"] = ["3"]
        kernel.files["/proc/4000000242/comm"] = "monitor"
        func uses() throws -> [DeviceUse] { try PCIBus(kernel: kernel).uses(of: Self.edu) }
        #expect(try uses() == [])
        kernel.files["/sys/bus/pci/devices/0000:00:02.0/enable"] = "1"
        #expect(try uses() == [.open])
        #expect("\(DeviceUse.open)".contains("its last driver left it so"))
        for node in ["/dev/vfio/devices/vfio0", "/dev/vfio/7"] {
            kernel.links["/proc/4000000242/fd/3"] = FilePath(node).string
            #expect(try uses() == [.node(node, openIn: "monitor", process: 4_000_000_242)])
        }
        // The group's node may be open for another device.
        kernel.files["/sys/bus/pci/devices/0000:00:02.0/enable"] = "0"
        #expect(try uses() == [])
        kernel.links["/proc/4000000242/fd/3"] = "/dev/vfio/devices/vfio0"
        #expect(try uses().count == 1)
    }

    @Test func monitorsAndOpenNodesAreUses() throws {
        let machine = MockMachine()
        let (gpu, sound): (PCIAddress, PCIAddress) = ("0000:01:00.0", "0000:01:00.1")
        machine.plug(
            Plain(pci: MockPCIFunction(vendor: 0x10de, device: 1, classCode: 0x030000)), at: gpu,
            driver: "nvidia")
        machine.plug(
            Plain(pci: MockPCIFunction(vendor: 0x10de, device: 2, classCode: 0x040300)), at: sound,
            driver: "snd_hda_intel")
        var kernel = OddKernel(machine)
        let folder = "../../devices/pci0000:00/0000:00:1c.0"
        kernel.names["/sys/class/drm"] = ["card1", "card1-DP-1", "card1-HDMI-A-1"]
        for name in ["card1", "card1/card1-DP-1", "card1/card1-HDMI-A-1"] {
            kernel.links["/sys/class/drm/\(FilePath(name).lastComponent!)"] =
                "\(folder)/\(gpu)/drm/\(name)"
        }
        kernel.files["/sys/class/drm/card1-DP-1/status"] = "connected"
        kernel.files["/sys/class/drm/card1-DP-1/enabled"] = "enabled"
        kernel.files["/sys/class/drm/card1-HDMI-A-1/status"] = "disconnected"
        kernel.names["/sys/class/sound"] = ["controlC1"]
        kernel.links["/sys/class/sound/controlC1"] = "\(folder)/\(sound)/sound/card1/controlC1"
        kernel.files["/proc/driver/nvidia/gpus/0000:01:00.0/information"] =
            "Model: \t\t X\nDevice Minor: \t 1"
        let bus = PCIBus(kernel: kernel)
        #expect(try bus.uses(of: gpu) == [.display(connector: "card1-DP-1")])
        #expect(try bus.uses(of: sound) == [])
        // Numbers that no process has.
        kernel.names["/proc"] = ["4000000242", "4000000243"]
        kernel.names["/proc/4000000242/fd"] = ["3", "12", "13"]
        kernel.links["/proc/4000000242/fd/3"] = "/dev/null"
        kernel.links["/proc/4000000242/fd/12"] = "/dev/dri/card1"
        kernel.links["/proc/4000000242/fd/13"] = "/dev/nvidia1"
        kernel.files["/proc/4000000242/comm"] = "display\u{1b}[2Jserver"
        kernel.names["/proc/4000000243/fd"] = ["5", "6"]
        for descriptor in [5, 6] {
            kernel.links["/proc/4000000243/fd/\(descriptor)"] = "/dev/snd/controlC1"
        }
        kernel.files["/proc/4000000243/comm"] = "music"
        let busy = PCIBus(kernel: kernel)
        #expect(
            try busy.uses(of: gpu) == [
                .display(connector: "card1-DP-1"),
                .node("/dev/dri/card1", openIn: "display[2Jserver", process: 4_000_000_242),
                .node("/dev/nvidia1", openIn: "display[2Jserver", process: 4_000_000_242),
            ])
        #expect(
            try busy.uses(of: sound).map { "\($0)" } == [
                "music (process 4000000243) has /dev/snd/controlC1 open"
            ])
    }
}
