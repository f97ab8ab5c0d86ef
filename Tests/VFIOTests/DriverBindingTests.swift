/// How devices change hands: what is written, in which order, and what is put back when a step fails.
@Suite struct DriverBindingTests {
    private static let folder = "/sys/devices/pci0000:00/0000:00:04.0"
    private static let link = "/sys/bus/pci/devices/0000:00:04.0"

    /// A machine whose drivers come and go as the writes say.
    private func machine(_ refusing: (@Sendable (String, String) throws(Errno) -> Void)? = nil) throws -> RecordedTree {
        let tree = try RecordedTree(recording: "no-iommu")
        tree.onWrite { (tree, path, text) throws(Errno) in
            try refusing?(path, text)
            let word = text == "\n" ? "(null)" : text
            if path == "\(Self.folder)/driver_override" { tree.add("\(path) = \(word)") }
            if path.hasSuffix("/unbind") { tree.remove("\(Self.folder)/driver") }
            if path == "/sys/bus/pci/drivers_probe" {
                let override = String(
                    decoding: try tree.readFile(FilePath("\(Self.folder)/driver_override")), as: UTF8.self)
                let driver = override == "(null)\n" ? "nvme" : String(override.dropLast())
                tree.add("\(Self.folder)/driver -> ../../../bus/pci/drivers/\(driver)")
            }
        }
        return tree
    }

    @Test("to vfio-pci: the override first, so that nobody else takes it in between")
    func bind() throws {
        let tree = try machine()
        let binding = DriverBinding(kernel: tree)
        let change = try binding.planChange(of: "0000:00:04.0", to: "vfio-pci")
        #expect(
            change.steps.map { "\($0)" } == [
                "echo vfio-pci > \(Self.link)/driver_override", "echo 0000:00:04.0 > \(Self.link)/driver/unbind",
                "echo 0000:00:04.0 > /sys/bus/pci/drivers_probe",
            ])
        #expect(change.previousDriver == "nvme")
        #expect(change.takesDeviceAway)
        #expect(tree.writes == [])
        try binding.apply(change)
        #expect(try PCIBus(kernel: tree).function(at: "0000:00:04.0").driver == "vfio-pci")
        #expect(
            tree.writes == [
                "vfio-pci > \(Self.folder)/driver_override", "0000:00:04.0 > /sys/bus/pci/drivers/nvme/unbind",
                "0000:00:04.0 > /sys/bus/pci/drivers_probe",
            ])
        #expect(try binding.planChange(of: "0000:00:04.0", to: "vfio-pci").steps == [])
    }

    @Test("back: without the override the kernel chooses")
    func back() throws {
        let tree = try machine()
        let binding = DriverBinding(kernel: tree)
        try binding.apply(binding.planChange(of: "0000:00:04.0", to: "vfio-pci"))
        try binding.apply(binding.planChangeToAnyDriver(of: "0000:00:04.0"))
        let function = try PCIBus(kernel: tree).function(at: "0000:00:04.0")
        #expect(function.driver == "nvme")
        #expect(function.driverOverride == nil)
        // Who has its own driver already keeps it, without a moment of none.
        #expect(try binding.planChangeToAnyDriver(of: "0000:00:04.0").steps == [])
    }

    @Test(
        "back to what was: the driver, and an override that names another",
        arguments: ["nvme", "vfio-pci", nil], ["nvme", "other", "vfio-pci", nil] as [String?])
    func backTo(driver: String?, override: String?) throws {
        let binding: DriverBinding
        let tree = try machine()
        binding = DriverBinding(kernel: tree)
        try binding.apply(binding.planChange(of: "0000:00:04.0", to: "vfio-pci"))
        try binding.apply(binding.planChange(of: "0000:00:04.0", backTo: driver, override: override))
        let function = try PCIBus(kernel: tree).function(at: "0000:00:04.0")
        #expect(function.driver == driver && function.driverOverride == override)
        #expect(try binding.planChange(of: "0000:00:04.0", backTo: driver, override: override).steps == [])
    }

    @Test("to no driver")
    func unbind() throws {
        let tree = try machine()
        let binding = DriverBinding(kernel: tree)
        try binding.apply(binding.planChange(of: "0000:00:04.0", to: nil))
        #expect(try PCIBus(kernel: tree).function(at: "0000:00:04.0").driver == nil)
        #expect(tree.writes == ["0000:00:04.0 > /sys/bus/pci/drivers/nvme/unbind"])
    }

    @Test("when the new driver fails, the old one comes back")
    func takeBack() throws {
        let tree = try RecordedTree(recording: "no-iommu")
        tree.onWrite { (tree, path, text) throws(Errno) in
            if path == "\(Self.folder)/driver_override" { tree.add("\(path) = \(text == "\n" ? "(null)" : text)") }
            if path.hasSuffix("/unbind") { tree.remove("\(Self.folder)/driver") }
            if path == "/sys/bus/pci/drivers_probe" {
                let override = String(
                    decoding: try tree.readFile(FilePath("\(Self.folder)/driver_override")), as: UTF8.self)
                // The driver does not take the device: the kernel does nothing, and says nothing.
                guard override == "(null)\n" else { return }
                tree.add("\(Self.folder)/driver -> ../../../bus/pci/drivers/nvme")
            }
        }
        let binding = DriverBinding(kernel: tree)
        tree.add("/sys/bus/pci/drivers/picky/")
        let change = try binding.planChange(of: "0000:00:04.0", to: "picky")
        expectError(.driverRefused, hint: "the driver picky did not take it; the kernel's log may say why: dmesg") {
            try binding.apply(change)
        }
        let function = try PCIBus(kernel: tree).function(at: "0000:00:04.0")
        #expect(function.driver == "nvme")
        #expect(function.driverOverride == nil)
    }

    @Test(
        "each failure has its word",
        arguments: [
            (Errno.permissionDenied, VFIOError.Code.permissionDenied, "only root may write there"),
            (.resourceBusy, .busy, "a process has a device of its IOMMU group open; end it first"),
            (.operationNotSupportedByDevice, .kernel, "the kernel's log may say why: dmesg"),
        ])
    func failures(errno: Errno, code: VFIOError.Code, hint: String) throws {
        let tree = try machine { (path, _) throws(Errno) in if path.hasSuffix("/unbind") { throw errno } }
        let binding = DriverBinding(kernel: tree)
        expectError(code, errno: errno, hint: hint) {
            try binding.apply(binding.planChange(of: "0000:00:04.0", to: "vfio-pci"))
        }
        // It never left its driver, and no override is left behind that would take it away at the next chance.
        let function = try PCIBus(kernel: tree).function(at: "0000:00:04.0")
        #expect(function.driver == "nvme")
        #expect(function.driverOverride == nil)
    }

    @Test("a driver that is not loaded takes nothing away from anybody")
    func notLoaded() throws {
        let tree = try machine()
        let binding = DriverBinding(kernel: tree)
        let hints = [
            ("/lib/modules has no module of this name for it", nil),
            ("it is built in, so its log may say why: dmesg", "modules.builtin = kernel/drivers/absent.ko"),
            ("load it: modprobe absent", "modules.dep = kernel/drivers/absent.ko.xz: kernel/other.ko.xz"),
        ]
        tree.add("/proc/sys/kernel/osrelease = 7.3.0")
        for (hint, list) in hints {
            if let list { tree.add("/lib/modules/7.3.0/\(list)") }
            expectError(.driverRefused, hint: "the kernel has no driver absent loaded; \(hint)") {
                try binding.apply(binding.planChange(of: "0000:00:04.0", to: "absent"))
            }
        }
        #expect(tree.writes == [])
        for name in ["", "../x", "vfio-pci\n"] {
            expectError(.invalidArgument) { _ = try binding.planChange(of: "0000:00:04.0", to: name) }
        }
    }

    @Test("bridges stay with their drivers")
    func bridges() throws {
        let tree = try RecordedTree(recording: "bridge")
        expectError(.invalidArgument) {
            _ = try DriverBinding(kernel: tree).planChange(of: "0000:00:08.0", to: "vfio-pci")
        }
    }

    // MARK: Virtual functions

    @Test("virtual functions: from one number to another the way leads over none")
    func virtualFunctions() throws {
        let tree = try RecordedTree(recording: "no-iommu")
        let functions = VirtualFunctions(kernel: tree)
        expectError(.unsupported) { _ = try functions.steps(toMake: 1, of: "0000:00:04.0") }
        tree.add("\(Self.folder)/sriov_totalvfs = 4")
        #expect(
            try functions.steps(toMake: 2, of: "0000:00:04.0").map { "\($0)" } == [
                "echo 0 > \(Self.link)/sriov_drivers_autoprobe", "echo 2 > \(Self.link)/sriov_numvfs",
                "echo 1 > \(Self.link)/sriov_drivers_autoprobe",
            ])
        do {
            _ = try functions.steps(toMake: 5, of: "0000:00:04.0")
            Issue.record("that is too many")
        } catch { #expect(error.hint == "it can have 0 to 4 virtual functions, not 5") }
        tree.add("\(Self.folder)/virtfn0 -> ../0000:00:04.1")
        #expect(try functions.steps(toMake: 1, of: "0000:00:04.0") == [])
        #expect(
            try functions.steps(toMake: 2, of: "0000:00:04.0", isProbed: true).map { "\($0)" } == [
                "echo 0 > \(Self.link)/sriov_numvfs", "echo 2 > \(Self.link)/sriov_numvfs",
            ])
    }

    @Test("who does not make virtual functions is named")
    func noVirtualFunctions() throws {
        let tree = try machine { (path, _) throws(Errno) in
            if path.contains("sriov_numvfs") { throw .noSuchFileOrDirectory }
        }
        tree.add("\(Self.folder)/sriov_totalvfs = 4")
        let functions = VirtualFunctions(kernel: tree)
        expectError(.driverRefused, hint: "its driver nvme does not make virtual functions") {
            try functions.apply(functions.steps(toMake: 1, of: "0000:00:04.0"), of: "0000:00:04.0")
        }
        // Before Linux 4.12 nothing keeps drivers off them.
        let old = try machine { (path, _) throws(Errno) in
            if path.contains("autoprobe") { throw .noSuchFileOrDirectory }
        }
        old.add("\(Self.folder)/sriov_totalvfs = 4")
        let oldFunctions = VirtualFunctions(kernel: old)
        let hint =
            "before Linux 4.12 the kernel's drivers take new virtual functions at once, which can be asked for "
            + "(vfioctl sriov --probe)"
        expectError(.unsupported, hint: hint) {
            try oldFunctions.apply(oldFunctions.steps(toMake: 1, of: "0000:00:04.0"), of: "0000:00:04.0")
        }
    }
}
