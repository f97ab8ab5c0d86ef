extension MockMachine {
    /// Adds a device whose driver creates mediated devices. They are created and removed through sysfs, and opened with
    /// `Device(mediated:in:)`.
    ///
    /// ```swift
    /// machine.addMediatedParent("mtty", types: ["mtty-1": { SerialPortModel() }])
    /// try machine.kernel.writeFile(
    ///     "/sys/class/mdev_bus/mtty/mdev_supported_types/mtty-1/create",
    ///     Array("bd8d9d2b-5a5f-4f5a-a211-f591514ba1f3".utf8))
    /// ```
    ///
    /// - Parameters:
    ///   - name: The name in `/sys/class/mdev_bus`.
    ///   - types: The types of mediated device by name, with a model of each.
    ///   - limit: The maximum number of devices.
    public func addMediatedParent(
        _ name: String, types: [String: @Sendable () -> any MockDevice], limit: Int = 24
    ) {
        locked { machine in
            precondition(machine.bus.mediatedParents[name] == nil, "there is a parent \(name) already")
            let parent = MediatedParent(name: name, types: types, limit: limit)
            machine.bus.mediatedParents[name] = parent
            parent.addToSysfs(machine.bus)
        }
    }
}
