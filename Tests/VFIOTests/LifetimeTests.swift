/// Programs that must not compile: what has ended cannot be used, and no view outlives what it looks at.
@Suite(.serialized, .enabled(if: Compiler.path != nil, Compiler.isMissing))
struct LifetimeTests {
    /// A program, and what the compiler says to it.
    struct Program: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var body: String
        var diagnostic: String = ""
        var options: [String] = []
    }

    // MARK: Positive controls

    static let right = [
        Program(
            testDescription: "all of it in one function",
            body: """
                func f() throws {
                    let space = try AddressSpace()
                    let device = try Device(at: "0000:00:04.0", in: space)
                    try device.config.updateCommand { $0.insert(.busMaster) }
                    let config = device.config
                    _ = try config.read8(at: 0)
                    let interrupts = try device.interrupts(.msi)
                    let vector = try interrupts.enable()
                    let region = try device.map(.bar0)
                    region.write32(1, at: 0)
                    _ = region.read32(at: 0)
                    let buffer = try space.allocate(byteCount: 4096)
                    buffer.write32(1, at: 0)
                    buffer.copy([1, 2, 3].span, to: 8)
                    _ = buffer.bytes(at: 8, count: 3)
                    try device.withRegisters(.bar0) { registers in registers.writeReleasing32(1, at: 0) }
                    let window = try device.exportDMABuf(of: .bar0, 0..<4096)
                    let peer = try space.map(window)
                    try peer.restore()
                    try device.reset()
                    try peer.close()
                    try window.close()
                    try buffer.close()
                    try region.close()
                    try vector.close()
                    try device.close()
                }
                """),
        Program(
            testDescription: "each use once, then the end",
            body: """
                func config(_ space: AddressSpace) throws {
                    let device = try Device(at: "0000:00:04.0", in: space)
                    _ = try device.config.read8(at: 0)
                    try device.close()
                }
                func interrupts(_ space: AddressSpace) throws {
                    let device = try Device(at: "0000:00:04.0", in: space)
                    let vector = try device.interrupts(.msi).enable()
                    try vector.close()
                    try device.close()
                }
                func buffer(_ space: AddressSpace) throws {
                    let buffer = try space.allocate(byteCount: 1)
                    buffer.write32(1, at: 0)
                    try buffer.close()
                }
                """),
        Program(
            testDescription: "config space and interrupts are ordinary values",
            body: """
                struct Driver { let config: ConfigSpace; let interrupts: [Interrupts] }
                func f(_ device: borrowing Device) throws -> Driver {
                    let config = device.config
                    Task { _ = try config.read8(at: 0) }
                    return Driver(config: config, interrupts: [try device.interrupts(.msi), try device.interrupts(.intx)])
                }
                """),
        Program(
            testDescription: "one function for all memory",
            body: """
                func fill(_ memory: borrowing some VolatileMemory & ~Copyable & ~Escapable) { memory.write8(1, at: 0) }
                func f(_ region: borrowing MappedRegion, _ buffer: borrowing DMABuffer) {
                    fill(region)
                    fill(buffer)
                    fill(buffer.memory)
                }
                """),
        Program(
            testDescription: "everything is closed in its turn",
            body: """
                func f(_ device: consuming Device) throws {
                    let region = try device.map(.bar0)
                    _ = region.read32(at: 0)
                    try region.close()
                    let vector = try device.interrupts(.msi).enable()
                    try vector.close()
                    _ = try device.config.read8(at: 0)
                    try device.reset()
                    try device.close()
                }
                """),
        Program(
            testDescription: "nothing is closed",
            body: """
                func f(_ space: AddressSpace, _ device: borrowing Device) throws {
                    let buffer = try space.allocate(byteCount: 1)
                    let peer = try space.map(try device.exportDMABuf(of: .bar0, 0..<4096))
                    buffer.memory.write32(1, at: 0)
                    try peer.restore()
                }
                """),
        Program(
            testDescription: "a region outlives its device's owner",
            body: """
                func f(_ device: consuming Device) throws -> MappedRegion {
                    let region = try device.map(.bar0)
                    try? device.close()
                    return region
                }
                """),
        Program(
            testDescription: "a view is used within its owner's life",
            body: """
                func f(_ region: consuming MappedRegion) throws {
                    do {
                        let view = region.memory
                        _ = view.read32(at: 0)
                    }
                    try region.close()
                }
                """),
        Program(
            testDescription: "a view goes down to another function",
            body: """
                func g(_ memory: DeviceMemory, _ registers: Registers) { _ = memory.read8(at: 0) }
                func f(_ device: borrowing Device, _ region: borrowing MappedRegion) throws {
                    let memory = region.memory
                    try device.withRegisters(.bar0) { (registers: Registers) in g(memory, registers) }
                }
                """),
        Program(
            testDescription: "a closure gives a value",
            body: """
                func f(_ device: borrowing Device) throws -> UInt32 {
                    try device.withRegisters(.bar0) { registers in registers.read32(at: 0) }
                }
                """),
        Program(
            testDescription: "a view is given back with its dependence",
            body: """
                @_lifetime(borrow region)
                func f(_ region: borrowing MappedRegion) -> DeviceMemory { region.memory }
                """,
            options: ["-enable-experimental-feature", "Lifetimes"]),
        Program(
            testDescription: "owners are kept in a type of the driver's",
            body: """
                struct Driver: ~Copyable {
                    let device: Device
                    let registers: MappedRegion
                    var vector: InterruptVector?
                    func status() -> UInt32 { registers.memory.read32(at: 4) }
                    consuming func close() throws {
                        try registers.close()
                        try device.close()
                    }
                }
                func f(_ device: consuming Device) throws -> Driver {
                    let registers = try device.map(.bar0)
                    return Driver(device: device, registers: registers, vector: nil)
                }
                """),
    ]

    @Test(arguments: right) func thisCompiles(_ program: Program) throws {
        let result = try Compiler.check("import VFIO\n" + program.body, program.options)
        #expect(result.succeeded, "\(result.diagnostics)")
        #expect(!result.diagnostics.contains("warning:"), "\(result.diagnostics)")
    }

    static let localOwners = [
        ("MappedRegion", "try device.map(.bar0)"), ("DMABuffer", "try device.space.allocate(byteCount: 1)"),
    ]

    /// More than need be: the compiler keeps the borrow of a local `let` to the end of the function. That is why the owners
    /// have the accesses themselves.
    @Test(arguments: localOwners) func aLocalOwnerCannotBeClosedWhereAViewWasUsed(_ owner: String, _ make: String)
        throws
    {
        try mustFail(
            """
            func f(_ device: borrowing Device) throws {
                let owner = \(make)
                owner.memory.write32(1, at: 0)
                try owner.close()
            }
            """,
            "noncopyable 'owner' cannot be consumed when captured by an escaping closure or borrowed by a non-Escapable type"
        )
    }

    /// Less than this would be a use after the end: an owner that is address-only compiles here.
    @Test(arguments: localOwners) func aViewOfALocalCannotBeUsedAfterTheEnd(_ owner: String, _ make: String) throws {
        try mustFail(
            """
            func f(_ device: borrowing Device) throws {
                let owner = \(make)
                let view = owner.memory
                try owner.close()
                view.write32(1, at: 0)
            }
            """,
            "noncopyable 'owner' cannot be consumed when captured by an escaping closure or borrowed by a non-Escapable type"
        )
    }

    @Test(arguments: localOwners) func aLocalOwnerCanBeClosedAfterItsOwnAccessesWereUsed(
        _ owner: String, _ make: String
    ) throws {
        let result = try Compiler.check(
            """
            import VFIO
            func f(_ device: borrowing Device) throws {
                let owner = \(make)
                owner.write32(1, at: 0)
                try owner.close()
            }
            """)
        #expect(result.succeeded, "\(result.diagnostics)")
    }

    // MARK: After the end

    static let owners: [(type: String, use: String)] = [
        ("Device", "try owner.reset()"),
        ("MappedRegion", "_ = owner.byteCount"),
        ("RegisterBank", "_ = owner.byteCount"),
        ("DMABuffer", "_ = owner.iova"),
        ("DMAMapping", "_ = owner.iova"),
        ("DMABuf", "try owner.setName(\"\")"),
        ("PeerMapping", "try owner.restore()"),
        ("InterruptVector", "_ = try owner.poll()"),
    ]

    @Test(arguments: owners) func whatIsClosedCannotBeUsed(_ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: consuming \(type)) throws { try owner.close(); \(use) }", "'owner' used after consume")
    }

    @Test(arguments: owners) func whatIsClosedCannotBeClosed(_ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: consuming \(type)) throws { try owner.close(); try owner.close() }",
            "'owner' consumed more than once")
    }

    @Test(arguments: owners) func anOwnerCannotBeCopied(_ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: consuming \(type)) throws { let other = owner; \(use); _ = consume other }",
            "'owner' used after consume")
        try mustFail(
            "func f(_ owner: consuming \(type)) -> [\(type)] { [owner] }",
            "type '\(type)' does not conform to protocol 'Copyable'")
    }

    @Test(arguments: owners) func whoBorrowsCannotClose(_ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: borrowing \(type)) throws { try owner.close() }",
            "'owner' is borrowed and cannot be consumed")
    }

    // MARK: Views

    static let views: [(owner: String, make: String, type: String, use: String)] = [
        ("MappedRegion", "owner.memory", "DeviceMemory", "_ = view.read32(at: 0)"),
        ("DMABuffer", "owner.memory", "DeviceMemory", "_ = view.read32(at: 0)"),
        ("DMABuffer", "owner.extracting(0..<8)", "DeviceMemory", "_ = view.read32(at: 0)"),
        ("DMABuffer", "owner.memory.extracting(0..<8)", "DeviceMemory", "_ = view.read32(at: 0)"),
        ("RegisterBank", "owner.registers", "Registers", "_ = view.read32(at: 0)"),
    ]

    @Test(arguments: views)
    func anOwnerCannotBeClosedWhileItIsViewed(_ owner: String, _ make: String, _ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: consuming \(owner)) throws { let view = \(make); try owner.close(); \(use) }",
            "overlapping accesses to 'owner'")
    }

    @Test(arguments: views)
    func aViewCannotBeReturned(_ owner: String, _ make: String, _ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: borrowing \(owner)) throws -> \(type) { \(make) }",
            "a function cannot return a ~Escapable result")
    }

    @Test(arguments: views)
    func aViewCannotOutliveItsOwner(_ owner: String, _ make: String, _ type: String, _ use: String) throws {
        try mustFail(
            """
            func g() throws -> \(owner) { fatalError() }
            func f() throws {
                let view: \(type)
                do {
                    let owner = try g()
                    view = \(make)
                }
                \(use)
            }
            """, "lifetime-dependent variable 'view' escapes its scope")
    }

    @Test(arguments: views)
    func aViewCannotBeCapturedByATask(_ owner: String, _ make: String, _ type: String, _ use: String) throws {
        try mustFail(
            "func f(_ owner: borrowing \(owner)) throws { let view = \(make); Task { \(use) } }",
            "lifetime-dependent variable 'view' escapes its scope")
    }

    @Test(arguments: views)
    func aViewCannotBeStored(_ owner: String, _ make: String, _ type: String, _ use: String) throws {
        try mustFail("final class Store { let view: \(type) }", "stored property 'view'")
        try mustFail(
            "func f(_ owner: borrowing \(owner)) throws { let views = [\(make)]; _ = views }",
            "requires that '\(type)' conform to 'Escapable'")
    }

    @Test(arguments: views)
    func aViewOfALocalCannotBeReturnedEvenWithItsDependence(
        _ owner: String, _ make: String, _ type: String, _ use: String
    ) throws {
        try mustFail(
            """
            func g() throws -> \(owner) { fatalError() }
            @_lifetime(borrow other)
            func f(_ other: borrowing \(owner)) throws -> \(type) { let owner = try g(); return \(make) }
            """, "lifetime-dependent value escapes its scope", ["-enable-experimental-feature", "Lifetimes"])
    }

    static let registers = [
        Program(
            testDescription: "as the closure's result",
            body: "_ = try device.withRegisters(.bar0) { (registers: Registers) -> Registers in registers }",
            diagnostic: "requires that 'Registers' conform to 'Escapable'"),
        Program(
            testDescription: "through a variable",
            body: """
                var outside: Registers?
                try device.withRegisters(.bar0) { registers in outside = registers }
                _ = outside
                """,
            diagnostic: "lifetime-dependent variable 'outside' escapes its scope"),
        Program(
            testDescription: "into a task",
            body: "try device.withRegisters(.bar0) { registers in Task { _ = registers.read32(at: 0) }; return }",
            diagnostic: "lifetime-dependent variable 'registers' escapes its scope"),
        Program(
            testDescription: "into an array",
            body: "try device.withRegisters(.bar0) { registers in let all = [registers]; _ = all }",
            diagnostic: "requires that 'Registers' conform to 'Escapable'"),
    ]

    @Test(arguments: registers) func registersCannotEscapeTheirClosure(_ program: Program) throws {
        try mustFail("func f(_ device: borrowing Device) throws {\n\(program.body)\n}", program.diagnostic)
    }

    @Test func theDeviceCannotBeClosedUnderItsRegisters() throws {
        try mustFail(
            "func f(_ device: consuming Device) throws { try device.withRegisters(.bar0) { _ in try device.close() } }",
            "overlapping accesses to 'device'")
    }

    @Test func aViewIsNotMadeByHand() throws {
        try mustFail(
            "func f(_ base: UnsafeMutableRawPointer) { _ = DeviceMemory(base: base, byteCount: 4) }",
            "'DeviceMemory' initializer is inaccessible")
    }

    private func mustFail(_ body: String, _ diagnostic: String, _ options: [String] = []) throws {
        let result = try Compiler.check("import VFIO\n" + body, options)
        #expect(!result.succeeded, "this compiles: \(body)")
        #expect(result.diagnostics.contains(diagnostic), "\(result.diagnostics)")
        // For the right reason, that is: with all that the program needs at hand.
        #expect(!result.diagnostics.contains("no such module"), "\(result.diagnostics)")
        #expect(!result.diagnostics.contains("missing required module"), "\(result.diagnostics)")
    }
}
