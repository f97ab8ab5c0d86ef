import Synchronization

/// What has come, in order.
package final class Notes<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    package init() {}

    package var all: [Element] { elements.withLock { $0 } }

    package func add(_ new: Element...) { elements.withLock { $0 += new } }
}
