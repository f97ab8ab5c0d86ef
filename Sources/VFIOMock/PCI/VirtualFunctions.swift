import SystemPackage
import VFIO

/// What a physical function knows of its virtual ones, and what vfio-pci does.
final class VirtualFunctions {
    let limit: Int
    /// Those that there are.
    var functions: [PCIFunction] = []
    /// The kernel's drivers may take new ones (`sriov_drivers_autoprobe`).
    var isProbed = true
    /// The token that their users and that of the physical function share: nobody's, until somebody sets it.
    private(set) var token: [UInt8] = []
    /// How many of them are open.
    var userCount = 0

    init(limit: Int) {
        self.limit = limit
        forgetToken()
    }

    func setToken(_ bytes: [UInt8]) { token = bytes }

    /// As when vfio-pci takes the device: a random one.
    func forgetToken() { token = (0..<16).map { _ in UInt8.random(in: 0...255) } }
}

extension PCIFunction {
    /// Whether it may be opened with a token, or without one.
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
