/** Raised with every change of the frames. Both ends name theirs; a hub closes an agent that it does not understand with 4406. */
export const protocolVersion = 5
export const oldestProtocolVersion = 1
export const speaksProtocol = (version: number): boolean => version >= oldestProtocolVersion && version <= protocolVersion
/** Header of the upgrade request to the hub, with the agent's version. */
export const protocolHeader = 'rdev-protocol'
/** From this version on an agent gets `desired` and answers `observed`. */
export const resourcesSinceProtocol = 3
