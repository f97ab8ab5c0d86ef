import SystemPackage
import VFIO

extension Core {
    /// A write to `sriov_numvfs`.
    ///
    /// - Returns: Whether it is done; while a process has one of those open that are to go it is not.
    func setVirtualFunctions(_ text: String, of function: PCIFunction) throws(Errno) -> Bool {
        guard let own = function.virtualFunctions, let count = UInt16(text).map(Int.init) else {
            throw .invalidArgument
        }
        if count > own.limit { throw .outOfRange }
        if count == own.functions.count { return true }
        // Only vfio-pci lets itself be asked.
        guard function.driver == "vfio-pci", allowsVirtualFunctions else { throw .noSuchFileOrDirectory }
        if count == 0 { return removeVirtualFunctions(of: function) }
        if !own.functions.isEmpty { throw .resourceBusy }
        guard let model = function.model as? any SingleRootIOVDevice else { return true }
        for number in 0..<count {
            let virtual = try PCIFunction(
                model.makeVirtualFunction(number), at: virtualAddress(number, of: function),
                group: nextGroupNumber, placing: { placeBARs($0) }, nativeDriver: nil, physical: function)
            own.functions.append(virtual)
            add(virtual)
            virtual.driverOverride = "vfio-pci"
            setDriver(virtual, "vfio-pci")
            virtual.call(self) { (model, bus) in model.start(bus: bus) }
        }
        function.config.setVirtualFunctions(count)
        return true
    }

    /// Takes all virtual functions away.
    ///
    /// - Returns: Whether they are gone; while a process has one of them open they are not.
    func removeVirtualFunctions(of function: PCIFunction) -> Bool {
        guard let own = function.virtualFunctions else { return true }
        let held = own.functions.filter { isHeld($0) }
        for virtual in held { virtual.interrupts.request?.signal() }
        guard held.isEmpty else { return false }
        for virtual in own.functions { remove(virtual) }
        own.functions = []
        function.config.setVirtualFunctions(0)
        return true
    }

    /// Each sits one further than the one before; beyond the 8th in what looks like the next slot.
    private func virtualAddress(_ number: Int, of function: PCIFunction) -> PCIAddress {
        let (domain, bus) = (function.address.domain, function.address.bus)
        let position = Int(function.address.device) << 3 + Int(function.address.function) + 1 + number
        guard position < 256,
            let address = PCIAddress(
                domain: domain, bus: bus, device: UInt8(position >> 3), function: UInt8(position & 7)),
            functions[address] == nil
        else { preconditionFailure("there is no room for virtual function \(number) of \(function.address)") }
        return address
    }

    // MARK: The token

    /// Whether a function may be opened with a token, or without one.
    func checkToken(_ function: PCIFunction, _ token: [UInt8]?) throws(Errno) {
        if let own = function.physical?.virtualFunctions {
            if token != own.token { throw .permissionDenied }
        } else if let own = function.virtualFunctions {
            if own.userCount > 0 {
                if token != own.token { throw .permissionDenied }
            } else if let token {
                own.setToken(token)
            }
        } else if token != nil {
            throw .invalidArgument
        }
    }

    /// Reads what follows a device's name in `VFIO_GROUP_GET_DEVICE_FD`: spaces, and no more than one token.
    static func token(inOptions options: Substring) throws(Errno) -> [UInt8]? {
        let prefix = "vf_token="
        let length = 36
        var token: [UInt8]?
        var rest = options
        while let next = rest.first {
            if next == " " {
                rest = rest.dropFirst()
                continue
            }
            guard token == nil, rest.hasPrefix(prefix) else { throw .invalidArgument }
            rest = rest.dropFirst(prefix.count)
            guard let uuid = DeviceUUID(String(rest.prefix(length))) else { throw .invalidArgument }
            token = uuid.bytes
            rest = rest.dropFirst(length)
        }
        return token
    }
}
