import Glibc
import SystemPackage
import VFIO
import VFIOMock

/// What a field of a request's structure is filled with. Most values are such as a program gives, so that the requests get
/// past the first checks; the others are any.
private enum Field: Character {
    /// The structure's size.
    case size = "s"
    /// Flags: a few of the low bits.
    case flags = "f"
    /// A small number: an index, a count, a type.
    case small = "n"
    case zero = "z"
    /// A descriptor of the mock.
    case descriptor = "d"
    /// The number of an iommufd's object.
    case object = "o"
    /// `VFIO_DEVICE_FEATURE`: a feature, and get, set or probe.
    case feature = "t"
    // Of 64 bits.
    case pointer = "P"
    case iova = "I"
    case length = "L"
    case any = "A"

    var isLong: Bool { "PILA".contains(rawValue) }
}

/// The requests, by `type << 8 | number`, and their fields in the order of the structure. VFIO's containers and devices
/// share some numbers.
private let requests: [(number: UInt, fields: String)] = [
    (0x3b67, "sf"), (0x3b68, "d"), (0x3b6b, "sfnnz"), (0x3b6c, "sfnzLA"), (0x3b6d, "sfnn"), (0x3b6e, "sfnnnddd"),
    (0x3b6e, "sfnnnn"), (0x3b70, "sfLzz"), (0x3b70, "sfnnnnnn"), (0x3b71, "sfPIL"), (0x3b71, "sfndd"), (0x3b72, "sfIL"),
    (0x3b72, "sfILLLP"), (0x3b72, "sfnnnnnnnnn"), (0x3b73, "n"), (0x3b74, "sfAAdz"), (0x3b75, "stnnnnnn"),
    (0x3b75, "stILPP"), (0x3b75, "stnnPPP"), (0x3b75, "stnnzzIL"), (0x3b75, "sfILLLP"), (0x3b76, "sfdz"),
    (0x3b77, "sfon"), (0x3b78, "sfn"), (0x3b79, "sfAA"), (0x3b80, "so"), (0x3b81, "sfz"), (0x3b82, "sonzP"),
    (0x3b83, "sfooLII"), (0x3b84, "sonzPA"), (0x3b85, "sfozPLI"), (0x3b86, "soIL"), (0x3b87, "snnzoA"),
    (0x3b88, "sonz"),
    (0x3b89, "sfoozznnPoz"), (0x3b8a, "sfonPnnA"), (0x3b8b, "sfoz"), (0x3b8c, "sofzILLP"), (0x3b8d, "soPnnnz"),
    (0x3b8e, "sfzz"), (0x3b8f, "sfodLLI"), (0x3b90, "sfnoozPnz"), (0x3b91, "soozA"), (0x3b92, "s"),
    (0x3b93, "sfonnzzz"), (0x3b94, "sfonnzIL"), (0x4018_aee1, "fnAP"), (0x4018_aee3, "fnAP"), (0xc00c_aee0, "nzf"),
    (0x4020_ae46, "nfILP"), (0x4020_ae76, "dnfdAA"), (0x4040_ae79, "AAndfzAAAA"), (0x4008_6200, "A"),
    (0xc008_6202, "fd"),
    (0x4008_6203, "fd"),
]

private let valueRequests: [UInt] = [
    0x3b64, 0x3b65, 0x3b66, 0x3b69, 0x3b6f, 0x3b73, 0xae00, 0xae01, 0xae60, 0x5441, 0x5452,
]

private let paths = [
    "/dev/vfio/vfio", "/dev/iommu", "/dev/kvm", "/dev/vfio/1", "/dev/vfio/2", "/dev/vfio/devices/vfio0",
    "/dev/vfio/devices/vfio1", "/dev/vfio/devices/vfio2", "/sys/bus/pci/devices/0000:00:02.0/config", "/nothing",
]

private let sysfsFiles = [
    "bus/pci/devices/0000:00:04.0/sriov_numvfs", "bus/pci/devices/0000:00:02.0/driver_override",
    "bus/pci/drivers/vfio-pci/unbind", "bus/pci/drivers/vfio-pci/bind", "bus/pci/drivers_probe",
    "module/vfio_pci/parameters/enable_sriov",
]

/// 64 KiB that requests point into, and a page without access behind, at which they end.
private struct Arena: @unchecked Sendable {
    static let shared = Arena()
    static let byteCount = 64 << 10
    let base: UnsafeMutableRawPointer

    private init() {
        base = mmap(
            nil, Self.byteCount + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)!
        precondition(base != MAP_FAILED && mprotect(base + Self.byteCount, 4096, PROT_NONE) == 0)
    }
}

/// One program, as the mock's kernel sees it.
private struct Program {
    let machine = MockMachine()
    let kernel: MockKernel
    var input: Input
    var descriptors: [FileDescriptor] = []
    var mappings: [UnsafeMutableRawBufferPointer] = []

    init(_ input: Input) {
        self.input = input
        machine.plug(EduModel(), at: "0000:00:02.0")
        machine.plug(SharedMemoryModel(byteCount: 1 << 20), at: "0000:00:03.0")
        machine.plug(NVMePhysicalFunctionModel(virtualFunctionLimit: 2), at: "0000:00:04.0")
        kernel = machine.kernel
        Arena.shared.base.initializeMemory(as: UInt8.self, repeating: 0, count: Arena.byteCount)
    }

    private static func openNumbers() -> Set<Int32> { Set((0..<512).filter { fcntl($0, F_GETFD) >= 0 }) }

    mutating func run() {
        let before = Self.openNumbers()
        var steps = 0
        while !input.isEmpty, steps < 400 {
            steps += 1
            try? step()
        }
        for mapping in mappings { try? kernel.unmap(mapping) }
        // Those that a structure told of, such as the fault queues', are in no list.
        for file in Self.openNumbers().subtracting(before) { try? kernel.close(FileDescriptor(rawValue: file)) }
        precondition(machine.openFiles.isEmpty, "\(machine.openFiles)")
        precondition(machine.pinnedByteCount == 0, "\(machine.mappings)")
    }

    private mutating func descriptor() -> FileDescriptor {
        descriptors.isEmpty ? FileDescriptor(rawValue: -1) : input.choice(of: descriptors)
    }

    private mutating func step() throws(Errno) {
        switch input.byte() % 16 {
        case 0: descriptors.append(try kernel.open(FilePath(input.choice(of: paths)), .readWrite))
        case 1:
            let index = descriptors.isEmpty ? nil : Int(input.byte()) % descriptors.count
            if let index { try kernel.close(descriptors.remove(at: index)) }
        case 2: descriptors.append(try kernel.duplicate(descriptor()))
        case 3: descriptors.append(try kernel.makeEvent())
        case 4: try map()
        case 5: if let mapping = mappings.popLast() { try kernel.unmap(mapping) }
        case 6: try access()
        case 7:
            // A device that is open is waited for, as on Linux.
            guard machine.openFiles.isEmpty else { return }
            try kernel.writeFile(FilePath("/sys/" + input.choice(of: sysfsFiles)), Array("\(word())".utf8))
        case 8:
            let number = input.choice(of: valueRequests)
            // Those that return a descriptor: KVM_CREATE_VM, and nothing else.
            let result = try kernel.control(descriptor(), number, value: UInt(input.byte()))
            if number == 0xae01 { descriptors.append(FileDescriptor(rawValue: Int32(result))) }
        case 9: try openGroupDevice()
        default: try request()
        }
    }

    /// A word as it is written to sysfs.
    private mutating func word() -> String {
        switch input.byte() % 4 {
        case 0: "0000:00:0\(2 + input.byte() % 3).0"
        case 1: String(input.byte())
        case 2: input.choice(of: ["vfio-pci", "Y", "N", "\n", "", "nvme"])
        default: String(decoding: input.take(Int(input.byte() % 16)), as: UTF8.self)
        }
    }

    private mutating func map() throws(Errno) {
        let offset = UInt64(input.byte() % 12) << 40 | UInt64(input.byte()) << 12
        let byteCount = Int(input.byte() % 32) << 12
        let base = try kernel.map(
            MemoryMapRequest(
                byteCount: byteCount, source: .file(descriptor(), offset: offset), isReadable: true, isWritable: true))
        mappings.append(UnsafeMutableRawBufferPointer(start: base, count: byteCount))
    }

    private mutating func access() throws(Errno) {
        let offset = UInt64(input.byte() % 12) << 40 | UInt64(input.number(UInt16.self))
        let count = Int(input.byte() % 65)
        let isWrite = input.byte() & 1 == 0
        let buffer = UnsafeMutableRawBufferPointer(start: Arena.shared.base, count: count)
        _ =
            isWrite
            ? try kernel.write(descriptor(), at: offset, from: UnsafeRawBufferPointer(buffer))
            : try kernel.read(descriptor(), at: offset, into: buffer)
    }

    private mutating func openGroupDevice() throws(Errno) {
        let (result, _) = try control(0x3b6a, Array("0000:00:0\(2 + input.byte() % 3).0\0".utf8))
        descriptors.append(FileDescriptor(rawValue: Int32(result)))
    }

    /// Makes a request in a buffer with room behind the structure, since its size may be a lie.
    private mutating func control(_ number: UInt, _ bytes: [UInt8]) throws(Errno) -> (result: Int, answer: [UInt8]) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 8)
        defer { buffer.deallocate() }
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        buffer.copyBytes(from: bytes)
        let result = try kernel.control(descriptor(), number, buffer)
        return (result, Array(buffer))
    }

    private mutating func request() throws(Errno) {
        let (number, fields) = input.choice(of: requests)
        var bytes = makeStructure(fields.compactMap(Field.init))
        for _ in 0..<(input.byte() & 7 == 0 ? input.byte() % 4 : 0) where !bytes.isEmpty {
            bytes[Int(input.byte()) % bytes.count] = input.byte()
        }
        let (result, answer) = try control(number, bytes)
        // A feature that exports a dma-buf, and KVM_CREATE_DEVICE's field.
        if number == 0x3b75, result > 2 { descriptors.append(FileDescriptor(rawValue: Int32(result))) }
        if number == 0xc00c_aee0 {
            descriptors.append(FileDescriptor(rawValue: Int32(answer[4]) | Int32(answer[5]) << 8))
        }
    }

    private mutating func makeStructure(_ fields: [Field]) -> [UInt8] {
        var bytes: [UInt8] = []
        let byteCount = fields.reduce(0) { $0 + ($1.isLong ? 8 : 4) }
        for field in fields {
            let value = makeValue(field, byteCount)
            bytes += (0..<(field.isLong ? 8 : 4)).map { UInt8(truncatingIfNeeded: value >> UInt64($0 * 8)) }
        }
        return bytes
    }

    private mutating func makeValue(_ field: Field, _ byteCount: Int) -> UInt64 {
        let selector = input.byte()
        switch field {
        case .size: return selector < 240 ? UInt64(byteCount) : UInt64(selector & 15) * 4
        case .flags: return selector < 240 ? UInt64(selector & 0x3f) : UInt64(selector) << (selector & 31)
        case .small: return selector < 240 ? UInt64(selector & 15) : UInt64(selector) << (selector & 31)
        case .zero: return selector < 250 ? 0 : UInt64(selector)
        case .descriptor:
            guard selector < 250, !descriptors.isEmpty else { return UInt64(selector) }
            return UInt64(UInt32(bitPattern: descriptors[Int(selector) % descriptors.count].rawValue))
        case .object: return UInt64(selector & 15)
        case .feature: return UInt64(selector & 31) | [1 << 16, 2 << 16, 4 << 16, 5 << 16][Int(selector >> 5) & 3]
        case .pointer:
            let base = UInt64(UInt(bitPattern: Arena.shared.base))
            return selector < 240 ? base + UInt64(selector & 15) << 12 : base + 0xfff0 + UInt64(selector & 15)
        case .iova: return selector < 240 ? UInt64(selector & 63) << 12 : .max - UInt64(selector & 15) << 12
        case .length:
            switch selector {
            case 0..<200: return UInt64(selector & 15) << 12
            case 200..<230: return UInt64(selector & 15)
            default: return .max - UInt64(selector & 15) << 12
            }
        case .any: return selector < 128 ? UInt64(selector) : input.number(UInt64.self)
        }
    }
}

/// Calls of a program on the mock's kernel: a grammar of valid requests, changed.
func fuzzRequests(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    var program = Program(Input(Array(UnsafeBufferPointer(start: data, count: size))))
    program.run()
    return 0
}
