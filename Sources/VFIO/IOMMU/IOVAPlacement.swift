/// Where in an address space a mapping goes.
public enum IOVAPlacement: Sendable, Hashable {
    /// Wherever there is room.
    case automatic
    /// At exactly this address, a multiple of the page size.
    case fixed(IOVA)
    /// Where a device with this many address bits reaches it: all of the mapping lies below 2 to the power of that.
    case addressWidth(Int)
}
