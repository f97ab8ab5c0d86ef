import Synchronization
import VFIO
import VFIOMock

/// The mock's controller with another identity, other registers, other Identify data, or fewer vectors, as there are.
struct OddController: MockDevice {
    let pci: MockPCIFunction
    var inner: NVMeModel
    /// Cleared and set bits of CAP.
    var clearedCapabilities: UInt64 = 0
    var setCapabilities: UInt64 = 0
    /// VS; `nil` for that of the model.
    var version: UInt64?
    /// Loads and stores of 8 bytes have no effect.
    var ignores64Bits = false
    /// CSTS.CFS is set until the controller has become ready.
    var startsFatal = false
    /// Doorbells are so many bytes apart; `nil` for the distance of the model.
    var doorbellStride: UInt64?
    /// The values of CNS that it does not know.
    var unknownIdentify: Set<UInt8> = []
    /// Changes the answers to Identify: CNS, namespace, 4096 bytes.
    var identify: (@Sendable (UInt8, UInt32, inout [UInt8]) -> Void)?

    // What it has seen.
    private(set) var disabledAt: ContinuousClock.Instant?
    /// The time from a store of 0 to CC.EN to the next load of CSTS.
    private(set) var quietTime: Duration?
    /// Dwords 11 of the commands that created submission queues.
    private(set) var submissionQueueFlags: [UInt32] = []

    private var adminQueue: UInt64 = 0
    private var entryCount: UInt64 = 1
    private var tail: UInt64 = 0

    init(
        _ inner: NVMeModel = NVMeModel(memoryByteCount: 0), vendor: UInt16 = 0x1b36, device: UInt16 = 0x10,
        classCode: UInt32 = 0x010802, vectors: Int = 65
    ) {
        self.inner = inner
        var pci = inner.pci
        pci.vendor = vendor
        pci.device = device
        pci.classCode = classCode
        pci.msix?.vectors = vectors
        self.pci = pci
    }

    mutating func read(bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) -> UInt64 {
        if width == 8 && ignores64Bits { return 0 }
        let value = inner.read(bar: bar, at: offset, width: width, bus: bus)
        switch offset {
        case 0, 4:
            let shift = offset * 8
            return value & ~(clearedCapabilities >> shift) | setCapabilities >> shift
                & (width == 8 ? .max : 0xffff_ffff)
        case 8: return version ?? value
        case 0x1c:
            if let disabledAt {
                quietTime = ContinuousClock.now - disabledAt
                self.disabledAt = nil
            }
            if value & 1 == 1 { startsFatal = false }
            return value | (startsFatal ? 2 : 0)
        default: return value
        }
    }

    mutating func write(_ value: UInt64, bar: Int, at offset: UInt64, width: Int, bus: borrowing MockBus) {
        if width == 8 && ignores64Bits { return }
        var offset = offset
        if let doorbellStride, offset >= 0x1000 { offset = 0x1000 + (offset - 0x1000) / doorbellStride * 4 }
        switch offset {
        case 0x14 where value & 1 == 0:
            tail = 0
            disabledAt = ContinuousClock.now
        case 0x24: entryCount = value & 0xfff + 1
        case 0x28: adminQueue = width == 8 ? value : adminQueue & ~0xffff_ffff | value
        case 0x2c: adminQueue = adminQueue & 0xffff_ffff | value << 32
        default: break
        }
        guard offset == 0x1000 else { return inner.write(value, bar: bar, at: offset, width: width, bus: bus) }
        var answers: [(cns: UInt8, namespace: UInt32, address: IOVA)] = []
        while tail != value {
            let entry = bus.read(IOVA(adminQueue + tail * 64), byteCount: 64)
            func word(_ offset: Int) -> UInt32 {
                (0..<4).reduce(0) { $0 | UInt32(entry[offset + $1]) << UInt32($1 * 8) }
            }
            switch entry[0] {
            case 0x06 where unknownIdentify.contains(entry[40]): inner.inject(.fail(.invalidField), on: .admin(0x06))
            case 0x06:
                // The model has descriptors of its own namespace alone.
                if entry[40] == 3, identify != nil { bus.write([1, 0, 0, 0], to: IOVA(adminQueue + tail * 64 + 4)) }
                answers.append((entry[40], word(4), IOVA(UInt64(word(24)) | UInt64(word(28)) << 32)))
            case 0x01: submissionQueueFlags.append(word(44))
            default: break
            }
            tail = (tail + 1) % entryCount
        }
        inner.write(value, bar: bar, at: offset, width: width, bus: bus)
        guard let identify else { return }
        for answer in answers {
            var bytes = bus.read(answer.address, byteCount: 4096)
            identify(answer.cns, answer.namespace, &bytes)
            bus.write(bytes, to: answer.address)
        }
    }

    mutating func reset(bus: borrowing MockBus) { inner.reset(bus: bus) }

    /// Answers Identify as a controller whose active namespaces are these.
    static func namespaces(_ list: [UInt32]) -> @Sendable (UInt8, UInt32, inout [UInt8]) -> Void {
        { cns, namespace, bytes in
            switch cns {
            case 0:
                bytes = [UInt8](repeating: 0, count: 4096)
                guard list.contains(namespace) else { return }
                bytes[1] = 1
                bytes[130] = 9
            case 1: put(list.max() ?? 0, at: 516, of: &bytes)
            case 2:
                let numbers = list.filter { $0 > namespace }.prefix(1024)
                bytes = numbers.flatMap { number in (0..<4).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) } }
                bytes += [UInt8](repeating: 0, count: 4096 - bytes.count)
            default: break
            }
        }
    }

    /// Writes a number of 32 bits into Identify data.
    static func put(_ number: UInt32, at offset: Int, of bytes: inout [UInt8]) {
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(index))) }
    }
}
