/// A fault of a ``VirtioNetModel``.
public enum VirtioNetFault: Sendable, Hashable, CaseIterable {
    /// It rejects the features that the driver accepted.
    case refusesFeatures
    /// Its status does not become 0.
    case staysInReset
    /// It sends no interrupts.
    case losesInterrupts
    /// It reports a used descriptor beyond the end of the queue.
    case usesUnknownDescriptor
    /// It reports the previous used descriptor each time.
    case repeatsDescriptor
    /// It reports more written bytes than the buffer has.
    case writesTooMuch
    /// It reports fewer written bytes than a packet header.
    case writesTooLittle
    /// Its used index advances by 1000 each time.
    case jumpsAhead
}
