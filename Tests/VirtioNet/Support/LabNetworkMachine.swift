struct LabNetworkMachine: NetworkMachine {
    let kernel: any Kernel = HostKernel()

    var leftovers: [String] { ProcessView.now() }
}
