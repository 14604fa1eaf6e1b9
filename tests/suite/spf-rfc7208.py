"""RFC 7208's test suite (pyspf, 203 cases): result and explanation of every case, through the module and the real DNS layer."""
import spfsuite

spfsuite.run("rfc7208", strict=True)
