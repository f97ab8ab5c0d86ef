/// What a ``VirtioNetModel`` can do wrong.
public enum VirtioNetFault: Sendable, Hashable, CaseIterable {
    /// It does not agree to the features that the driver has accepted.
    case refusesFeatures
    /// Its status does not become 0.
    case staysInReset
    /// It sends no interrupts.
    case losesInterrupts
    /// It says that it has used a descriptor beyond the end of the queue.
    case usesUnknownDescriptor
    /// It says each time that it has used the descriptor of the time before.
    case repeatsDescriptor
    /// It says that it has written more than the buffer holds.
    case writesTooMuch
    /// It says that it has written less than a packet's header.
    case writesTooLittle
    /// Its count of used buffers runs ahead by 1000.
    case jumpsAhead
}
