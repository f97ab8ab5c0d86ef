import Glibc
import SystemPackage
import Testing
import VFIO

/// A kernel and one of its interfaces: what each test of the contract is run for.
struct Scenario: Sendable, Codable, Hashable, CustomTestStringConvertible {
    /// The name of the kernel in the lab.
    let kernelName: String
    /// Whether the address spaces are an iommufd's; otherwise they are type1 containers.
    let usesIOMMUFD: Bool
    /// Whether the kernel is the mock's.
    let isMock: Bool

    var testDescription: String {
        "\(kernelName) kernel\(isMock ? " (mock)" : ""), \(usesIOMMUFD ? "iommufd" : "type1")"
    }

    var offer: Offer { Offer.all.first { $0.name == kernelName }! }

    var interface: AddressSpace.Interface { usesIOMMUFD ? .iommufd : .type1 }

    /// The interfaces of all kernels that can be had here: in the lab the running one, elsewhere the mock's.
    static let all: [Scenario] = kernels.flatMap { kernel in
        (Offer.all.first { $0.name == kernel.name }!.hasIOMMUFD ? [false, true] : [false]).map {
            Scenario(kernelName: kernel.name, usesIOMMUFD: $0, isMock: kernel.isMock)
        }
    }

    private static var kernels: [(name: String, isMock: Bool)] {
        guard let name = LabMachine.name else { return MockedMachine.releases.map { ($0.name, true) } }
        precondition(Offer.all.contains { $0.name == name }, "nobody has written down what the kernel \(name) offers")
        return [(name, false)]
    }

    private func makeMachine() throws -> any ContractMachine {
        guard isMock else { return try LabMachine() }
        return MockedMachine(MockedMachine.releases.first { $0.name == kernelName }!.release)
    }

    // MARK: Running a test

    /// Runs a test on a machine of its own, and fails it when it leaves a descriptor or a mapping behind.
    func run(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (borrowing Bench) throws -> Void
    ) throws {
        let before = ProcessView.now()
        let ledger = try {
            let bench = Bench(scenario: self, machine: try makeMachine())
            try body(bench)
            return bench.ledger
        }()
        ledger.expectBalance(sourceLocation)
        ProcessView.expectSame(as: before, sourceLocation)
    }

    /// Runs a test that waits.
    func run(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (Bench) async throws -> Void
    ) async throws {
        let before = ProcessView.now()
        let bench = Bench(scenario: self, machine: try makeMachine())
        try await body(bench)
        bench.ledger.expectBalance(sourceLocation)
        ProcessView.expectSame(as: before, sourceLocation)
    }

    /// Runs a test of dma-bufs. Where the kernel exports none, the test is that it says so.
    func runWithDMABuf(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (borrowing Bench) throws -> Void
    ) throws {
        try run(sourceLocation: sourceLocation) { bench in
            guard offer.hasDMABuf else {
                try bench.expectNoExport(sourceLocation)
                return
            }
            try body(bench)
        }
    }

    /// Runs a test of imported dma-bufs. Where the interface imports none, or the kernel exports none, the test is that it
    /// says so.
    func runWithImport(
        sourceLocation: SourceLocation = #_sourceLocation, _ body: (borrowing Bench) throws -> Void
    ) throws {
        try runWithDMABuf(sourceLocation: sourceLocation) { bench in
            guard usesIOMMUFD else {
                try bench.expectNoImport(sourceLocation)
                return
            }
            try body(bench)
        }
    }
}
