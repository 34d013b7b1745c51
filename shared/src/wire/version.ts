/** Raised by every change of the frames. Both ends name theirs; a hub refuses what it does not speak (close 4406). */
export const protocolVersion = 3
export const oldestProtocolVersion = 1
export const speaksProtocol = (version: number): boolean => version >= oldestProtocolVersion && version <= protocolVersion
/** Of the upgrade request to the hub: its value is the agent's version. */
export const protocolHeader = 'rdev-protocol'
/** From this version on an agent is told `desired` and answers `observed`. */
export const resourcesSinceProtocol = 3
