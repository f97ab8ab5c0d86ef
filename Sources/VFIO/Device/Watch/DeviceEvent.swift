/// What a ``DeviceWatch`` reports of a device.
public enum DeviceEvent: Sendable, Hashable, CaseIterable {
    /// The host wants the device back, to unbind or unplug it, and waits until it is closed. It asks again about every
    /// 10 seconds.
    case releaseRequested
    /// The host has found an uncorrectable error of the device. Its state is unknown: reset it, or close it.
    case error
    /// The device does not answer any more: it was removed, or has lost its power or its link. All that can be done is
    /// to close it.
    case gone
}

extension DeviceEvent: CustomStringConvertible {
    public var description: String {
        switch self {
        case .releaseRequested: "the host wants the device back, to unbind or unplug it"
        case .error: "the host has found an uncorrectable error of the device"
        case .gone: "the device does not answer any more"
        }
    }
}
