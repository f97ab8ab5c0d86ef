import SystemPackage
import VFIO

/// The virtual functions of a physical one, and vfio-pci's state of them.
final class VirtualFunctions {
    let limit: Int
    var functions: [PCIFunction] = []
    /// Whether kernel drivers may bind new ones (`sriov_drivers_autoprobe`).
    var isProbed = true
    /// The token that the users of all functions share; random until it is set.
    private(set) var token: [UInt8] = []
    /// The number of open ones.
    var userCount = 0

    init(limit: Int) {
        self.limit = limit
        forgetToken()
    }

    func setToken(_ bytes: [UInt8]) { token = bytes }

    /// Sets a random token, as when vfio-pci binds the device.
    func forgetToken() { token = (0..<16).map { _ in UInt8.random(in: 0...255) } }
}

extension PCIFunction {
    /// Checks the token of an open, or its absence.
    func checkToken(_ token: [UInt8]?) throws(Errno) {
        if let own = physical?.virtualFunctions {
            if token != own.token { throw .permissionDenied }
        } else if let own = virtualFunctions {
            if own.userCount > 0 {
                if token != own.token { throw .permissionDenied }
            } else if let token {
                own.setToken(token)
            }
        } else if token != nil {
            throw .invalidArgument
        }
    }
}
