/// The placement of a mapping in an address space.
public enum IOVAPlacement: Sendable, Hashable {
    /// In any free range.
    case automatic
    /// At exactly this address, a multiple of the page size.
    case fixed(IOVA)
    /// Within a device's address width: all of the mapping lies below 2 to the power of the number.
    case addressWidth(Int)
}
