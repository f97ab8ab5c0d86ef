import SystemPackage

/// What an iommufd has under a number. One of this class itself stands where an object went with its device; the number
/// stays taken.
class IOMMUFDObject {
    fileprivate(set) var id: UInt32 = 0
    /// How many devices, open files and other objects need it.
    var users = 0

    init() {}

    /// It is an object no more.
    func destroyed() {}
}

/// The objects of an iommufd, by their numbers.
struct IOMMUFDObjects {
    private var objects: [UInt32: IOMMUFDObject] = [:]
    /// The number that the next object gets: the lowest that is free, from 1.
    private(set) var nextID: UInt32 = 1

    var isEmpty: Bool { objects.isEmpty }

    subscript(id: UInt32) -> IOMMUFDObject? { objects[id] }

    /// All objects, in the order of their numbers.
    var all: [IOMMUFDObject] { objects.values.sorted { $0.id < $1.id } }

    mutating func add(_ object: IOMMUFDObject) {
        object.id = nextID
        objects[nextID] = object
        while objects[nextID] != nil { nextID += 1 }
    }

    mutating func remove(_ object: IOMMUFDObject) {
        objects[object.id] = nil
        nextID = min(nextID, object.id)
        object.destroyed()
    }

    /// Takes an object away and keeps its number.
    mutating func bury(_ object: IOMMUFDObject) {
        let grave = IOMMUFDObject()
        grave.id = object.id
        objects[object.id] = grave
        object.destroyed()
    }

    mutating func removeAll() {
        for object in all.reversed() { object.destroyed() }
        self = IOMMUFDObjects()
    }
}
