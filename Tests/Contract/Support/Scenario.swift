import Glibc

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

    // MARK: Benches

    /// A machine for one test, which is checked for what the test left behind when the bench ends.
    func makeBench(sourceLocation: SourceLocation = #_sourceLocation) throws -> Bench {
        try Bench(scenario: self, makeMachine, sourceLocation)
    }

    /// A bench for a test of dma-bufs. Where the kernel exports none, the test is that it says so, and there is no bench.
    func makeBenchWithDMABuf(sourceLocation: SourceLocation = #_sourceLocation) throws -> Bench? {
        let bench = try makeBench(sourceLocation: sourceLocation)
        guard !offer.hasDMABuf else { return bench }
        try bench.expectNoExport(sourceLocation)
        return nil
    }

    /// A bench for a test of imported dma-bufs. Where the interface imports none, or the kernel exports none, the test is
    /// that it says so, and there is no bench.
    func makeBenchWithImport(sourceLocation: SourceLocation = #_sourceLocation) throws -> Bench? {
        guard let bench = try makeBenchWithDMABuf(sourceLocation: sourceLocation) else { return nil }
        guard !usesIOMMUFD else { return bench }
        try bench.expectNoImport(sourceLocation)
        return nil
    }
}
