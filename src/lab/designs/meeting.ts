/** A point where the requests of all designs wait for each other. The last one to arrive calls `onComplete`. */
export class Meeting {
  private arrived = 0;
  private end!: () => void;
  private readonly isOver = new Promise<void>((resolve) => (this.end = resolve));

  constructor(private readonly company: number) {}

  async meet(onComplete: () => void): Promise<void> {
    if (++this.arrived === this.company) {
      onComplete();
      this.end();
    }
    await this.isOver;
  }
}
