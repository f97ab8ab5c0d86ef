import VFIO

/// The mock, with models of the lab's devices.
final class MockedMachine: ContractMachine {
    let kernel: any Kernel = HostKernel()

    static let names: [String] = []

    init(_ name: String) throws {}

    func faults() throws -> Set<Fault> { [] }
}
