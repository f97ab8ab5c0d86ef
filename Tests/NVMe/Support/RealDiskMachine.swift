/// The machine of the lab.
struct RealDiskMachine: DiskMachine {
    let kernel: any Kernel = HostKernel()
    private let before = ProcessView.now()

    func expectNothingLeft(_ sourceLocation: SourceLocation) {
        #expect(ProcessView.now() == before, sourceLocation: sourceLocation)
    }
}
