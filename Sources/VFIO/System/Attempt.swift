package import SystemPackage

/// What a refusal of the kernel means: the kind of failure, and what is known of the cause.
package typealias Refusal = (code: VFIOError.Code, hint: String?)

/// Makes a system call, and says of a failure what was tried and on what.
///
/// - Parameters:
///   - operation: What is tried, in words.
///   - subject: What it is tried on.
///   - refusals: What errors mean that are more than `.kernel`.
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
    /// A refusal of the kernel, with what it means where that is known.
    // Labelled, or else `.outOfRange` and others could be taken for an errno's.
    package init(refused errno: Errno, _ operation: String, _ subject: String, _ refusals: [Errno: Refusal] = [:]) {
        let known = refusals[errno]
        self.init(known?.code ?? .kernel, operation, subject, errno: errno, hint: known?.hint ?? nil)
    }
}

extension [Errno: Refusal] {
    /// What a refusal to open a node means.
    ///
    /// - Parameters:
    ///   - node: What the user needs access to.
    ///   - privilege: What `EPERM` asks for, where it is more than access to the node.
    static func opening(_ node: String, privilege: String? = nil) -> [Errno: Refusal] {
        let access = "the user needs read and write access to \(node)"
        return [
            .permissionDenied: (.permissionDenied, access), .notPermitted: (.permissionDenied, privilege ?? access),
        ]
    }

    /// The same, for the node of an interface that the kernel may lack.
    static func opening(_ node: String, missing: String) -> [Errno: Refusal] {
        var refusals = opening(node)
        refusals[.noSuchFileOrDirectory] = (.unsupported, missing)
        refusals[.operationNotSupportedByDevice] = (.unsupported, missing)
        return refusals
    }
}
