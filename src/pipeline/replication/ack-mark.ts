/** The name of the mark in `horizons` that the slot was never confirmed beyond; see `AckGate`. */
export const ackMark = (slot: string): string => `slot ${slot} confirmed`
