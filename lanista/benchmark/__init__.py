"""Problems with known answers: measured tables and synthetic functions, and how strategies are compared on them."""
