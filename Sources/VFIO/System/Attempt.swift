package import SystemPackage

/// What an errno means for one operation: the error code, and a hint if the cause is known.
package typealias Refusal = (code: VFIOError.Code, hint: String?)

/// Makes a system call and converts its failure to a `VFIOError`.
///
/// - Parameters:
///   - operation: The description of the operation.
///   - subject: What the operation acts on.
///   - refusals: The errors that have a more specific code than `.kernel`.
///   - call: The system call.
@inline(__always)
package func attempt<Result: ~Copyable>(
    _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String,
    refusals: @autoclosure () -> [Errno: Refusal] = [:], _ call: @autoclosure () throws(Errno) -> Result
) throws(VFIOError) -> Result {
    do throws(Errno) {
        return try call()
    } catch {
        throw VFIOError(refused: error, operation(), subject(), refusals())
    }
}

extension VFIOError {
    /// Creates the error for a failed system call.
    // Labelled, so that `.outOfRange` and others are not taken for an `Errno`.
    package init(refused errno: Errno, _ operation: String, _ subject: String, _ refusals: [Errno: Refusal] = [:]) {
        let known = refusals[errno]
        self.init(known?.code ?? .kernel, operation, subject, errno: errno, hint: known?.hint ?? nil)
    }
}

extension [Errno: Refusal] {
    /// The meaning of the errors of opening a node.
    ///
    /// - Parameters:
    ///   - node: The node that the user needs access to.
    ///   - privilege: What `EPERM` requires, if it is more than access to the node.
    static func opening(_ node: String, privilege: String? = nil) -> [Errno: Refusal] {
        let access = "the user needs read and write access to \(node)"
        return [
            .permissionDenied: (.permissionDenied, access), .notPermitted: (.permissionDenied, privilege ?? access),
        ]
    }

    /// The meaning of the errors of opening a node that the kernel may lack.
    static func opening(_ node: String, missing: String) -> [Errno: Refusal] {
        var refusals = opening(node)
        refusals[.noSuchFileOrDirectory] = (.unsupported, missing)
        refusals[.operationNotSupportedByDevice] = (.unsupported, missing)
        return refusals
    }
}
