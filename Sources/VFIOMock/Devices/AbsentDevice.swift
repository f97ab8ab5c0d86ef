/// What stands in for a device's model while somebody else holds that.
struct AbsentDevice: MockDevice {
    let pci: MockPCIFunction
}
