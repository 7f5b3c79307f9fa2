"""What it runs on: devices with sources, this machine, its measured rates, energy readers. Never imports torch."""
