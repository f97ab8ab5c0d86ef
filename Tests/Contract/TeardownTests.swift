@testable import VFIO

/// Ends of life, in every order.
extension Contract.TeardownTests {
    /// One of each thing that is made from a device and an address space.
    private final class Belongings {
        var device: Device?
        var buffer: DMABuffer?
        var region: MappedRegion?
        var interrupt: InterruptVector?
        var window: DMABuf?
        var peer: PeerMapping?

        static let names = ["device", "buffer", "region", "interrupt", "window", "peer"]

        init(_ bench: borrowing Bench) throws {
            let space = try bench.makeSpace()
            let device = try Device(at: bench.nvme, in: space)
            buffer = try space.allocate(byteCount: 4096)
            region = try device.map(.bar2, 0..<4096)
            interrupt = try device.enable(.msix)
            if bench.offer.hasDMABuf {
                let window = try device.exportDMABuf(of: .bar2, 0..<4096)
                if bench.scenario.usesIOMMUFD { peer = try space.map(window) }
                self.window = consume window
            }
            self.device = consume device
        }

        /// What still keeps the device open.
        var leases: [String] {
            var names: [String] = []
            if region != nil { names.append("a mapping of BAR 2") }
            if interrupt != nil { names.append("vector 0 of MSI-X") }
            return names
        }

        func close(_ name: String) throws {
            switch name {
            case "device": try device.take()?.close()
            case "buffer": try buffer.take()?.close()
            case "region": try region.take()?.close()
            case "interrupt": try interrupt.take()?.close()
            case "window": try window.take()?.close()
            default: try peer.take()?.close()
            }
        }

        func drop(_ name: String) {
            switch name {
            case "device": device = nil
            case "buffer": buffer = nil
            case "region": region = nil
            case "interrupt": interrupt = nil
            case "window": window = nil
            default: peer = nil
            }
        }
    }

    /// All orders of some things.
    private static func orders(_ names: [String]) -> [[String]] {
        guard names.count > 1 else { return [names] }
        return names.indices.flatMap { index in
            var rest = names
            let first = rest.remove(at: index)
            return orders(rest).map { [first] + $0 }
        }
    }

    /// Orders enough to have each thing end first, last, and before each other one.
    private static var rotations: [[String]] {
        let names = Belongings.names
        return names.indices.map { index in Array(names[index...] + names[..<index]) }
    }

    @Test("everything is closed in every order that matters", arguments: Scenario.all)
    func close(_ scenario: Scenario) throws {
        for order in Self.rotations {
            let bench = try scenario.makeBench()
            let belongings = try Belongings(bench)
            for name in order {
                let leases = belongings.leases
                if name == "device", !leases.isEmpty {
                    let error = #expect(throws: VFIOError.self) { try belongings.close(name) }
                    #expect(error?.code == .inUse)
                    #expect(
                        error?.hint
                            == "still alive: \(leases.joined(separator: ", ")); the device closes with the last of them"
                    )
                } else {
                    #expect(throws: Never.self, "\(name) in \(order)") { try belongings.close(name) }
                }
            }
        }
    }

    @Test(
        "everything just ends, in every order that matters [iommufd_ioas.ioas_auto_destroy]",
        arguments: Scenario.all)
    func drop(_ scenario: Scenario) throws {
        for order in Self.rotations.map({ Array($0.reversed()) }) {
            let bench = try scenario.makeBench()
            let belongings = try Belongings(bench)
            for name in order { belongings.drop(name) }
        }
    }

    @Test("what depends on the device ends in each of its orders", arguments: Scenario.all)
    func permutations(_ scenario: Scenario) throws {
        for order in Self.orders(["device", "region", "interrupt"]) {
            let bench = try scenario.makeBench()
            let belongings = try Belongings(bench)
            // The mappings first, since they keep the group of a type1 container open.
            for name in ["buffer", "peer"] { belongings.drop(name) }
            for name in order { belongings.drop(name) }
            // All that held the device is gone, so it is free again; the dma-buf, which is left, does not hold it.
            let second = try Device(at: bench.nvme, in: bench.makeSpace())
            try second.close()
        }
    }

    @Test("a device can be opened again after each close [vfio_pci_driver_test.init_remove]", arguments: Scenario.all)
    func reopen(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        for address in [bench.edu, bench.memory, bench.nvme] {
            for _ in 0..<3 {
                let device = try Device(at: address, in: space)
                try device.close()
            }
        }
        let other = try bench.makeSpace()
        let elsewhere = try Device(at: bench.edu, in: other)
        try elsewhere.close()
    }

    @Test("a device that was closed while in use is closed with the last of what used it", arguments: Scenario.all)
    func inUse(_ scenario: Scenario) throws {
        let bench = try scenario.makeBench()
        let space = try bench.makeSpace()
        var device: Device? = try Device(at: bench.memory, in: space)
        let region = try device!.map(.bar2, 0..<4096)
        let error = #expect(throws: VFIOError.self) { try device.take()!.close() }
        #expect(error?.code == .inUse)
        region.fill([1, 2, 3])
        region.expect([1, 2, 3])
        let other = try bench.makeSpace()
        #expect(throws: VFIOError.self) { _ = try Device(at: bench.memory, in: other) }
        try region.close()
        let again = try Device(at: bench.memory, in: other)
        try again.close()
    }
}
