/// A device that can have virtual functions: SR-IOV.
///
/// As on Linux there are none at first. They appear, bound to vfio-pci, when their number is written to `sriov_numvfs`,
/// after vfio-pci was told to allow it:
/// ```swift
/// let machine = MockMachine()
/// machine.plug(NVMePhysicalFunctionModel(), at: "0000:02:00.0")
/// try machine.kernel.writeFile("/sys/module/vfio_pci/parameters/enable_sriov", Array("Y".utf8))
/// try machine.kernel.writeFile("/sys/bus/pci/devices/0000:02:00.0/sriov_numvfs", Array("2".utf8))
/// // 0000:02:00.1 and 0000:02:00.2 are there, each in a group of its own.
/// ```
/// To open one, the process has to know the token that the users of the physical function share, as `VFToken` tells.
public protocol SingleRootIOVDevice: MockDevice {
    /// How many virtual functions it can have: 1 or more, and as many as have room on its bus behind it.
    var virtualFunctionLimit: Int { get }

    /// Makes a virtual function, a PCI Express function without an interrupt pin.
    ///
    /// - Parameter number: Which one, from 0.
    func makeVirtualFunction(_ number: Int) -> any MockDevice
}
