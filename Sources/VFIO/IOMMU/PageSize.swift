/// The pages that a DMA buffer is made of.
///
/// Huge pages make large mappings quicker and the IOMMU's work lighter, but have to be set aside on the machine.
public enum PageSize: Sendable, Hashable {
    /// The kernel's own pages, 4 KiB on x86.
    case standard
    /// Huge pages of 2 MiB (`MAP_HUGE_2MB`).
    case huge2MiB
    /// Huge pages of 1 GiB (`MAP_HUGE_1GB`).
    case huge1GiB

    /// The size of a huge page in bytes; `nil` for the kernel's own.
    package var byteCount: Int? {
        switch self {
        case .standard: nil
        case .huge2MiB: 2 << 20
        case .huge1GiB: 1 << 30
        }
    }
}
