@testable import VFIO

/// The token that the users of a physical function and of its virtual ones share.
extension Contract.VFTokenTests {
    private static let one = VFToken("52ac9bff-3a88-4fbd-901a-0d767c3b6c97")!
    private static let other = VFToken("88594674-90a0-47a9-aea8-9d9b352ac08a")!
    /// The same token, a different one, and none.
    private static let given: [VFToken?] = [one, other, nil]

    /// Opens a function with a token, and expects it to be opened or refused.
    private func expectOpening(
        _ isAllowed: Bool, _ address: PCIAddress, in space: AddressSpace, _ token: VFToken?,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        guard isAllowed else {
            expectRefusal(.permissionDenied, .permissionDenied, sourceLocation: sourceLocation) {
                _ = try Device(at: address, in: space, token: token)
            }
            return
        }
        let device = try Device(at: address, in: space, token: token)
        #expect(try device.read { try $0.vendorID() } == 0x1b36, sourceLocation: sourceLocation)
        try device.close()
    }

    @Test(
        "a virtual function opens with the token of its physical one [vfio_pci_sriov_uapi_test: init_token_match]",
        arguments: Scenario.all)
    func match(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.allowingVirtualFunctions {
            let space = try bench.makeSpace()
            let physical = try Device(at: bench.physicalFunction, in: space, token: Self.one)
            let functions = try bench.makeVirtualFunctions(1)
            for token in Self.given { try expectOpening(token == Self.one, functions[0], in: space, token) }
            try bench.setVirtualFunctions("0")
            try physical.close()
        }
    }

    @Test(
        "the token stays when the physical function is closed [vfio_pci_sriov_uapi_test: pf_early_close]",
        arguments: Scenario.all)
    func earlyClose(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withVirtualFunctions(1, token: Self.one) { functions in
            let space = try bench.makeSpace()
            for token in Self.given { try expectOpening(token == Self.one, functions[0], in: space, token) }
        }
    }

    @Test(
        "another token takes the place of the first [vfio_pci_sriov_uapi_test: override_token]",
        arguments: Scenario.all)
    func override(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.allowingVirtualFunctions {
            let space = try bench.makeSpace()
            let physical = try Device(at: bench.physicalFunction, in: space, token: Self.one)
            let functions = try bench.makeVirtualFunctions(1)
            try physical.setVFToken(Self.other)
            for token in Self.given { try expectOpening(token == Self.other, functions[0], in: space, token) }
            try bench.setVirtualFunctions("0")
            try physical.close()
        }
    }

    @Test("while a virtual function is open, the physical one asks for the token too", arguments: Scenario.all)
    func physical(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withVirtualFunctions(2, token: Self.one) { functions in
            let space = try bench.makeSpace()
            let virtual = try Device(at: functions[1], in: space, token: Self.one)
            for token in [Self.other, nil] { try expectOpening(false, bench.physicalFunction, in: space, token) }
            try virtual.close()
            // Nobody uses one any more: any token will do, and is the new one; without one it stays.
            try bench.setVirtualFunctions("0")
            try expectOpening(true, bench.physicalFunction, in: space, Self.other)
            try expectOpening(true, bench.physicalFunction, in: space, nil)
            _ = try bench.makeVirtualFunctions(2)
            for token in Self.given { try expectOpening(token == Self.other, functions[1], in: space, token) }
        }
    }

    @Test("the physical function has the feature, to be set only", arguments: Scenario.all)
    func feature(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.allowingVirtualFunctions {
            let space = try bench.makeSpace()
            let physical = try Device(at: bench.physicalFunction, in: space, token: Self.one)
            let functions = try bench.makeVirtualFunctions(1)
            let virtual = try Device(at: functions[0], in: space, token: Self.one)
            #expect(try physical.supports(.vfToken))
            #expect(try virtual.supports(.vfToken) == false)
            expectRefusal(.unsupported, .inappropriateIOCTLForDevice) { try virtual.setVFToken(Self.one) }
            let descriptor = physical.core.descriptor
            let number = CVFIO_DEVICE_FEATURE_PCI_VF_TOKEN
            for flags in [number, number | CVFIO_DEVICE_FEATURE_GET] {
                expectErrno(.invalidArgument) { try bench.kernel.feature(descriptor, flags, words: [0, 0, 0, 0]) }
            }
            expectErrno(.invalidArgument, "too short for a UUID") {
                try bench.kernel.feature(descriptor, number | CVFIO_DEVICE_FEATURE_SET, words: [0, 0, 0])
            }
            // Changed while the virtual function is open, it is the next one who needs the new one.
            try physical.setVFToken(Self.other)
            #expect(try virtual.read { try $0.vendorID() } == 0x1b36)
            try virtual.close()
            try expectOpening(false, functions[0], in: space, Self.one)
            try expectOpening(true, functions[0], in: space, Self.other)
            try bench.setVirtualFunctions("0")
            try physical.close()
        }
    }

    @Test("the option and the flag that carry it", arguments: Scenario.all)
    func carriers(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withVirtualFunctions(1, token: Self.one) { functions in
            guard scenario.usesIOMMUFD else {
                let container = try RawContainer(bench.kernel, device: functions[0])
                func open(_ options: String) throws(Errno) -> Int {
                    try bench.kernel.control(
                        container.group, CVFIO_GROUP_GET_DEVICE_FD, text: "\(functions[0])\(options)")
                }
                expectErrno(.invalidArgument, "a token that is cut short") { try open(" vf_token=52ac9bff") }
                expectErrno(.invalidArgument, "what is no UUID") {
                    try open(" vf_token=52ac9bffx3a88-4fbd-901a-0d767c3b6c97")
                }
                expectErrno(.invalidArgument, "twice") { try open(" vf_token=\(Self.one) vf_token=\(Self.one)") }
                expectErrno(.permissionDenied, "another") { try open(" vf_token=\(Self.other)") }
                let device = try open("   vf_token=\(Self.one) ")
                try bench.kernel.close(FileDescriptor(rawValue: Int32(device)))
                try container.close()
                return
            }
            let iommufd = try RawIOMMUFD(bench.kernel)
            let node = try bench.kernel.open(bench.deviceNode(of: functions[0]), .readWrite)
            var request = cvfio_device_bind_iommufd(
                argsz: 24, flags: CVFIO_DEVICE_BIND_FLAG_TOKEN, iommufd: iommufd.descriptor.rawValue, out_devid: 0,
                token_uuid_ptr: 0)
            bench.kernel.expectErrno(.badAddress, "no token", node, CVFIO_DEVICE_BIND_IOMMUFD, &request)
            request.argsz = 16
            bench.kernel.expectErrno(.badAddress, "no room for one", node, CVFIO_DEVICE_BIND_IOMMUFD, &request)
            request.flags = 1 << 1
            bench.kernel.expectErrno(.invalidArgument, "another flag", node, CVFIO_DEVICE_BIND_IOMMUFD, &request)
            request.flags = 0
            bench.kernel.expectErrno(.permissionDenied, "no flag", node, CVFIO_DEVICE_BIND_IOMMUFD, &request)
            try bench.kernel.close(node)
            try iommufd.close()
        }
    }

    @Test("the refusals say what is missing", arguments: Scenario.all)
    func messages(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        try bench.withVirtualFunctions(1, token: Self.one) { functions in
            let space = try bench.makeSpace()
            let operation =
                scenario.usesIOMMUFD
                ? "bind the device to the iommufd (VFIO_DEVICE_BIND_IOMMUFD)"
                : "open the device (VFIO_GROUP_GET_DEVICE_FD)"
            let texts = [
                "it takes the token that the users of the physical function and of its virtual ones share, "
                    + "and this is not it",
                "it takes the token that the users of the physical function and of its virtual ones share, "
                    + "and none was given",
            ]
            for (token, text) in zip([Self.other, nil], texts) {
                let error = #expect(throws: VFIOError.self) {
                    _ = try Device(at: functions[0], in: space, token: token)
                }
                #expect(
                    error?.description
                        == "cannot \(operation) for \(functions[0]): Permission denied (EACCES): \(text)")
            }
            let useless = #expect(throws: VFIOError.self) { _ = try Device(at: bench.nvme, in: space, token: Self.one) }
            #expect(
                useless?.description == "cannot \(operation) for \(bench.nvme): Invalid argument (EINVAL): "
                    + "the device takes no token: neither it nor its physical function is one with VFs of vfio-pci")
        }
    }
}
