/// What an access compiles to in a client's module, optimised.
@Suite(.serialized, .enabled(if: Compiler.path != nil, Compiler.isMissing))
struct CodegenTests {
    /// The body of a function in LLVM IR, without its attributes and metadata.
    private static func body(of function: String, in ir: String) throws -> [Substring] {
        let mangled = "$s6Client\(function.utf8.count)\(function)"
        let lines = ir.split(separator: "\n")
        let start = try #require(
            lines.firstIndex { $0.hasPrefix("define") && $0.contains(mangled) }, "no \(function) in \(ir)")
        let end = try #require(lines[start...].firstIndex(of: "}"))
        return Array(lines[(start + 1)..<end])
    }

    private static func count(_ text: String, in lines: [Substring]) -> Int {
        lines.count { $0.contains(text) }
    }

    /// The calls that are made, except to what stops the program.
    private static func calls(in lines: [Substring]) -> [Substring] {
        lines.filter { line in
            // Intrinsics and the empty markers that keep traps apart are no calls.
            (line.contains(" call ") || line.contains(" invoke "))
                && !["assertionFailure", "@llvm.", "asm sideeffect \"\""].contains { line.contains($0) }
        }
    }

    /// A client with one function, and that function's body.
    private static func compile(_ function: String, _ source: String) throws -> [Substring] {
        try body(of: function, in: try Compiler.optimised("import VFIO\n" + source))
    }

    // MARK: DeviceMemory

    @Test(arguments: [8, 16, 32, 64])
    func aReadIsOneLoadOfItsWidth(_ bits: Int) throws {
        let body = try Self.compile(
            "access", "public func access(_ memory: DeviceMemory) -> UInt\(bits) { memory.read\(bits)(at: 16) }")
        #expect(Self.count("load atomic volatile i\(bits),", in: body) == 1, "\(body)")
        #expect(Self.count("volatile", in: body) == 1, "\(body)")
        #expect(Self.calls(in: body).isEmpty, "\(body)")
        #expect(Self.count("br i1", in: body) == 1, "only the bounds are checked: \(body)")
    }

    @Test(arguments: [8, 16, 32, 64])
    func aWriteIsOneStoreOfItsWidth(_ bits: Int) throws {
        let body = try Self.compile(
            "access",
            "public func access(_ memory: DeviceMemory, _ value: UInt\(bits)) { memory.write\(bits)(value, at: 16) }")
        #expect(Self.count("store atomic volatile i\(bits) ", in: body) == 1, "\(body)")
        #expect(Self.count("volatile", in: body) == 1, "\(body)")
        #expect(Self.calls(in: body).isEmpty, "\(body)")
    }

    @Test(arguments: [16, 32, 64])
    func orderedAccessesAreSingleAndOrdered(_ bits: Int) throws {
        let read = try Self.compile(
            "access", "public func access(_ memory: DeviceMemory) -> UInt\(bits) { memory.readAcquiring\(bits)(at: 8) }"
        )
        #expect(read.count { $0.contains("load atomic volatile i\(bits)") && $0.contains("acquire") } == 1, "\(read)")
        #expect(Self.calls(in: read).isEmpty, "\(read)")
        let write = try Self.compile(
            "access", "public func access(_ memory: DeviceMemory) { memory.writeReleasing\(bits)(1, at: 8) }")
        #expect(
            write.count { $0.contains("store atomic volatile i\(bits)") && $0.contains("release") } == 1, "\(write)")
        #expect(Self.calls(in: write).isEmpty, "\(write)")
    }

    @Test func equalAccessesAreNotMerged() throws {
        let body = try Self.compile(
            "access",
            """
            public func access(_ memory: DeviceMemory) -> UInt32 {
                memory.write32(1, at: 8)
                memory.write32(1, at: 8)
                _ = memory.read32(at: 4)
                return memory.read32(at: 4) &+ memory.read32(at: 4)
            }
            """)
        #expect(Self.count("store atomic volatile i32", in: body) == 2, "\(body)")
        #expect(Self.count("load atomic volatile i32", in: body) == 3, "\(body)")
    }

    @Test func aPollingLoopReadsEachTime() throws {
        let body = try Self.compile(
            "poll", "public func poll(_ memory: DeviceMemory) { while memory.read32(at: 4) & 1 == 0 {} }")
        let load = try #require(body.firstIndex { $0.contains("load atomic volatile i32") }, "\(body)")
        let label = try #require(body[..<load].last { $0.contains(":") }?.split(separator: ":").first)
        let back = body[load...].first { $0.contains("br i1") }
        #expect(back?.contains("label %\(label)") == true, "the branch goes back to the load: \(body)")
        #expect(Self.calls(in: body).isEmpty)
    }

    @Test func thePlainLoopThatThisGuardsAgainstIsDeleted() throws {
        let body = try Self.compile(
            "poll", "public func poll(_ pointer: UnsafePointer<UInt32>) { while pointer.pointee & 1 == 0 {} }")
        let load = body.firstIndex { $0.contains("load i32") }
        let loops = load.map { body[$0...].contains { $0.contains("br i1") } } ?? false
        #expect(!loops, "a plain pointer polls properly by now: \(body)")
        #expect(Self.count("volatile", in: body) == 0)
    }

    @Test func aLoopOverADescriptorRingNeitherAllocatesNorCounts() throws {
        let body = try Self.compile(
            "walk",
            """
            public func walk(_ memory: DeviceMemory, _ count: Int) -> UInt64 {
                var sum: UInt64 = 0
                for index in 0..<count where memory.readAcquiring32(at: index * 16) != 0 {
                    sum &+= memory.read64(at: index * 16 + 8)
                }
                return sum
            }
            """)
        #expect(Self.calls(in: body).isEmpty, "\(body)")
    }

    /// Of a view, and of what an object lends.
    @Test(arguments: [
        """
        public func fill(_ ring: borrowing DMABuffer, _ slot: Int) {
            let start = slot &* 16
            let descriptor = ring.extracting(start..<start &+ 16)
            descriptor.write64(1, at: 0)
            descriptor.write32(2, at: 8)
            descriptor.write32(3, at: 12)
        }
        """,
        """
        public final class Driver {
            let ring: DMABuffer
            init(_ ring: consuming DMABuffer) { self.ring = ring }
        }
        public func fill(_ driver: Driver, _ slot: Int) {
            let start = slot &* 16
            driver.ring.withMemory(start..<start &+ 16) { descriptor in
                descriptor.write64(1, at: 0)
                descriptor.write32(2, at: 8)
                descriptor.write32(3, at: 12)
            }
        }
        """,
    ]) func aDescriptorIsCheckedOnce(_ source: String) throws {
        let body = try Self.compile("fill", source)
        #expect(Self.count("store atomic volatile", in: body) == 3, "\(body)")
        #expect(Self.calls(in: body).isEmpty, "\(body)")
        let first = try #require(body.firstIndex { $0.contains("store atomic volatile") })
        #expect(Self.count("br i1", in: Array(body[first...])) == 0, "nothing is checked later: \(body)")
    }

    // MARK: MappedRegion

    @Test func theViewOfARegionCostsNothing() throws {
        let body = try Self.compile(
            "access", "public func access(_ region: borrowing MappedRegion) -> UInt32 { region.memory.read32(at: 4) }")
        #expect(Self.count("load atomic volatile i32", in: body) == 1, "\(body)")
        #expect(Self.count("swift_retain", in: body) == 0, "\(body)")
        #expect(Self.count("swift_alloc", in: body) == 0, "\(body)")
    }

    // MARK: Registers

    @Test(arguments: [8, 16, 32, 64])
    func aMappedRegisterIsOneLoadBehindOneBranch(_ bits: Int) throws {
        let body = try Self.compile(
            "access", "public func access(_ registers: Registers) -> UInt\(bits) { registers.read\(bits)(at: 16) }")
        #expect(Self.count("load atomic volatile i\(bits),", in: body) == 1, "\(body)")
        #expect(Self.count("volatile", in: body) == 1, "\(body)")
        #expect(Self.count("icmp", in: body) == 1, "\(body)")
        #expect(Self.count("br i1", in: body) == 1, "\(body)")
        #expect(Self.calls(in: Self.block(with: "load atomic volatile", of: body)).isEmpty, "\(body)")
    }

    @Test(arguments: [8, 16, 32, 64])
    func aMappedRegisterIsOneStoreBehindOneBranch(_ bits: Int) throws {
        let body = try Self.compile(
            "access",
            "public func access(_ registers: Registers, _ value: UInt\(bits)) { registers.write\(bits)(value, at: 16) }"
        )
        #expect(Self.count("store atomic volatile i\(bits) ", in: body) == 1, "\(body)")
        #expect(Self.count("icmp", in: body) == 1, "\(body)")
        #expect(Self.count("br i1", in: body) == 1, "\(body)")
        #expect(Self.calls(in: Self.block(with: "store atomic volatile", of: body)).isEmpty, "\(body)")
    }

    @Test(arguments: [
        """
        public func access(_ bank: borrowing RegisterBank) -> UInt32 {
            bank.write32(1, at: 8)
            return bank.read32(at: 16)
        }
        """,
        """
        public func access(_ bank: borrowing RegisterBank) -> UInt32 {
            bank.registers.write32(1, at: 8)
            return bank.registers.read32(at: 16)
        }
        """,
        """
        public final class Driver {
            let bank: RegisterBank
            init(_ bank: consuming RegisterBank) { self.bank = bank }
        }
        public func access(_ driver: Driver) -> UInt32 {
            driver.bank.withRegisters { registers in
                registers.write32(1, at: 8)
                return registers.read32(at: 16)
            }
        }
        """,
    ]) func aBankCostsNoMoreThanAView(_ source: String) throws {
        let body = try Self.compile("access", source)
        #expect(Self.count("store atomic volatile i32", in: body) == 1, "\(body)")
        #expect(Self.count("load atomic volatile i32", in: body) == 1, "\(body)")
        #expect(Self.count("br i1", in: body) == 2, "\(body)")
        #expect(Self.count("swift_retain", in: body) == 0, "\(body)")
        #expect(Self.count("swift_alloc", in: body) == 0, "\(body)")
    }

    // MARK: Order

    @Test(arguments: [16, 32, 64]) func aDoorbellIsAFenceAndAStore(_ bits: Int) throws {
        let body = try Self.compile(
            "access", "public func access(_ registers: Registers) { registers.writeReleasing\(bits)(1, at: 16) }")
        let fence = try #require(body.firstIndex { Self.isFence($0, "release") }, "\(body)")
        let store = try #require(body.firstIndex { $0.contains("store atomic volatile i\(bits) ") }, "\(body)")
        #expect(fence < store, "\(body)")
        #expect(Self.count("store atomic volatile", in: body) == 1, "\(body)")
    }

    @Test(arguments: [16, 32, 64]) func aFlagIsALoadAndAFence(_ bits: Int) throws {
        let body = try Self.compile(
            "access",
            "public func access(_ registers: Registers) -> UInt\(bits) { registers.readAcquiring\(bits)(at: 16) }")
        let load = try #require(body.firstIndex { $0.contains("load atomic volatile i\(bits),") }, "\(body)")
        #expect(body[load...].contains { Self.isFence($0, "acquire") }, "\(body)")
    }

    @Test(arguments: [("read", "acquire"), ("write", "release"), ("full", "seq_cst")])
    func aBarrierIsOneFence(_ name: String, _ order: String) throws {
        let body = try Self.compile(
            "access",
            """
            public func access(_ one: DeviceMemory, _ other: DeviceMemory) {
                one.write32(1, at: 0)
                DeviceBarrier.\(name)()
                other.write32(1, at: 0)
            }
            """)
        let stores = body.indices.filter { body[$0].contains("store atomic volatile i32") }
        try #require(stores.count == 2, "\(body)")
        #expect(body[stores[0]..<stores[1]].count { Self.isFence($0, order) } == 1, "\(body)")
    }

    private static func isFence(_ line: Substring, _ order: String) -> Bool {
        line.contains("fence \(order)") || line.contains("dmb osh")
    }

    // MARK: Owners

    @Test(arguments: ["MappedRegion", "DMABuffer"]) func anOwnersOwnAccessIsThatOfItsView(_ owner: String) throws {
        let body = try Self.compile(
            "access",
            """
            public func access(_ owner: borrowing \(owner)) -> UInt32 {
                owner.write32(1, at: 8)
                return owner.read32(at: 4)
            }
            """)
        #expect(Self.count("store atomic volatile i32", in: body) == 1, "\(body)")
        #expect(Self.count("load atomic volatile i32", in: body) == 1, "\(body)")
        #expect(Self.calls(in: body).isEmpty, "\(body)")
    }

    /// The basic block that holds an instruction.
    private static func block(with instruction: String, of body: [Substring]) -> [Substring] {
        guard let position = body.firstIndex(where: { $0.contains(instruction) }) else { return [] }
        let start = body[..<position].lastIndex { !$0.hasPrefix(" ") } ?? 0
        let end = body[position...].firstIndex { !$0.hasPrefix(" ") } ?? body.endIndex
        return Array(body[start..<end])
    }
}
