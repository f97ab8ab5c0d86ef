import CBaseline
import VFIO

/// Opens devices in C.
final class BaselineOpening {
    private let interface: AddressSpace.Interface

    init(_ interface: AddressSpace.Interface) { self.interface = interface }

    func one() throws -> UInt64 { try take(baseline_open_all(interface == .iommufd, 1, names, bars)) }

    func all() throws -> UInt64 {
        try take(baseline_open_all(interface == .iommufd, Int32(OpenBenchmark.devices.count), names, bars))
    }

    private func take(_ nanoseconds: UInt64) throws -> UInt64 {
        guard nanoseconds > 0 else { throw BaselineFailure() }
        return nanoseconds
    }

    private var names: [UInt8] {
        // Each in 16 bytes, ended by a zero.
        OpenBenchmark.devices.flatMap { device in
            Array(device.name.utf8) + Array(repeating: 0, count: 16 - device.name.utf8.count)
        }
    }

    private var bars: [UInt32] { OpenBenchmark.devices.map(\.bar) }
}
