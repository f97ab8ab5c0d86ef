import CBaseline
import Synchronization
import VFIO

/// Opens devices with the library.
final class LibraryOpening {
    private let interface: AddressSpace.Interface
    private let space = Mutex<AddressSpace?>(nil)
    /// Kept until the time has been taken.
    private let opened = Mutex<[OpenedDevice]>([])

    init(_ interface: AddressSpace.Interface) { self.interface = interface }

    func one() throws -> UInt64 {
        let start = bench_now()
        let space = try AddressSpace(interface)
        let device = try OpenedDevice(0, in: space)
        let taken = bench_now() - start
        withExtendedLifetime(device) {}
        return taken
    }

    func all() throws -> UInt64 {
        let start = bench_now()
        space.withLock { $0 = try? AddressSpace(interface) }
        let context = Unmanaged.passUnretained(self).toOpaque()
        _ = bench_parallel(
            Int32(OpenBenchmark.devices.count),
            { context, index in Unmanaged<LibraryOpening>.fromOpaque(context!).takeUnretainedValue().open(Int(index)) },
            context)
        let taken = bench_now() - start
        guard opened.withLock({ $0.count }) == OpenBenchmark.devices.count else { throw BaselineFailure() }
        return taken
    }

    private func open(_ index: Int) {
        do {
            guard let space = space.withLock({ $0 }) else { return }
            let device = try OpenedDevice(index, in: space)
            opened.withLock { $0.append(device) }
        } catch { print("LabBenchmarks: \(error)") }
    }

    /// A device with the registers that were read.
    private final class OpenedDevice: Sendable {
        let device: Device
        let bank: RegisterBank

        init(_ index: Int, in space: AddressSpace) throws {
            let (address, _, bar) = OpenBenchmark.devices[index]
            device = try Device(at: address, in: space)
            bank = try device.makeRegisterBank(of: RegionIndex(rawValue: bar))
            _ = bench_opaque(UInt64(bank.read32(at: 0)))
        }
    }
}
