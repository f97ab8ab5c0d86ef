/// What the names of drivers tell.
public enum DriverName {
    /// `vfio-pci`, and the drivers made from it for single devices, such as `mlx5_vfio_pci`.
    public static func isVFIO(_ driver: String) -> Bool { driver.hasSuffix("vfio-pci") || driver.hasSuffix("vfio_pci") }

    /// Whether a driver leaves an IOMMU group viable: VFIO's own, and those that do no DMA on their own account.
    static func isHarmless(_ driver: String) -> Bool {
        isVFIO(driver) || driver == "pci-stub" || driver == "pcieport"
    }
}
