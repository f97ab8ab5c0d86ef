internal import VFIO
