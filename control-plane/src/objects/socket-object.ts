// What both durable objects share: Cloudflare's calls about sockets and the alarm go to the driver.

import { DurableObject } from 'cloudflare:workers'
import type { DurablePlatform } from './durable-platform.ts'
import type { ObjectDriver } from './platform.ts'

export abstract class SocketObject extends DurableObject<unknown> {
  protected abstract readonly platform: DurablePlatform<unknown, never, object>
  protected abstract readonly driver: ObjectDriver

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const id = this.platform.idOf(socket)
    if (id !== undefined) this.driver.message(id, message)
  }

  override async webSocketClose(socket: WebSocket): Promise<void> {
    const id = this.platform.gone(socket)
    if (id !== undefined) this.driver.closed(id)
  }

  override async webSocketError(socket: WebSocket): Promise<void> {
    return this.webSocketClose(socket)
  }

  override alarm(): Promise<void> {
    return this.driver.alarm()
  }
}
